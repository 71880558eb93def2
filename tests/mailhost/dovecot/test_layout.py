"""Where a drop-in has the last word, from dovecot.conf of real packages and of upstream's 2.4."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailhost.dovecot.layout import LAST, Include, layout

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "doveconf"


def lines(text: str) -> tuple[Include, ...]:
    pairs = (line.partition(":") for line in text.splitlines())
    return tuple(Include(int(number), rest.strip()) for number, _, rest in pairs)


@pytest.mark.parametrize("system", ["debian12", "debian13"])
def test_debian_reads_only_local_conf_after_a_drop_in(system: str):
    found = layout(lines((SAMPLES / system / "layout.txt").read_text()))
    assert (found.included, found.later, found.after) == (True, (), ("local.conf",))


def test_settings_after_the_include_win():
    found = layout(lines("3:!include_try conf.d/*.conf\n5:protocols =\n6:ssl_server {"))
    assert found.later == (("protocols", 5), ("ssl_server", 6))


UPSTREAM = """3:!include_try conf.d/*.conf
5:protocols {
6:imap =
8:}
9:mail_driver =
12:namespace inbox {
13:inbox =
15:}
16:passdb pam {
17:}
18:service imap-login {
19:inet_listener imaps {
20:ssl =
21:}
22:}
23:ssl_server {
24:cert_file =
25:}
26:ssl =
"""


def test_upstreams_24_has_settings_of_its_own_behind_conf_d():
    found = layout(lines(UPSTREAM))
    names = {name for name, _ in found.later}
    assert {"protocols", "mail_driver", "ssl_server_cert_file"} <= names
    assert [number for name, number in found.later if name == "ssl"] == [26]
    assert found.loses({"mail_driver", "base_dir"}) == "it sets mail_driver (line 9) after it has read conf.d"
    assert not found.loses({"base_dir", "listen"})
    ours = "".join(f"{27 + number}:{line}\n" for number, line in enumerate(LAST.splitlines()) if line.startswith("!"))
    assert not layout(lines(UPSTREAM + ours)).loses(names)


def test_the_last_include_of_it_counts():
    text = "3:!include_try conf.d/*.conf\n5:protocols =\n9:!include_try conf.d/99-dovecot-runbook.conf"
    found = layout(lines(text))
    assert (found.included, found.later, found.after) == (True, (), ())
    assert found.named == ("conf.d/*.conf", "conf.d/99-dovecot-runbook.conf")


def test_an_absolute_include_is_the_same_and_another_one_is_not():
    assert layout(lines("3:!include /etc/dovecot/conf.d/*.conf")).included
    assert not layout(lines("3:!include /etc/dovecot/other.d/*.conf\n4:protocols =")).included
