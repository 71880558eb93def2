"""A Dovecot that was there before us, judged from facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailhost import sheet
from mailhost.checks import existing
from mailhost.checks.dovecot import is_later
from mailhost.dovecot import dialect, dropin
from mailhost.dovecot.layout import Layout
from mailhost.dovecot.settings import Settings, wanted
from mailhost.facts.dovecot import INCLUDE, Dovecot, Line, _instances
from mailhost.facts.packages import Packages
from mailhost.facts.system import System
from mailhost.families import DEBIAN

WANT = sheet.from_mapping({"name": "mail", "mail_names": ["mail.example.test"]}, base=Path(), source="test")
SYSTEM = System(ipv6=True)
TARGET = wanted(WANT, DEBIAN, ipv6=True)
DEBIANS = Layout(named=("conf.d/*.conf", "local.conf"), after=("local.conf",))
CHAIN = Line("/etc/dovecot/conf.d/10-ssl.conf", 12, "ssl_ca", "ssl_ca = </etc/ssl/chain.pem")
ASKS = Line("/etc/dovecot/conf.d/10-ssl.conf", 13, "ssl_verify_client_cert", "ssl_verify_client_cert = yes")


def dovecot(version: str = "2.3.19.1", **changed: Any) -> Dovecot:
    values = {"version": version, "settings": TARGET, "valid": True, "layout": DEBIANS} | changed
    return Dovecot(**values)


def ours(version: str = "2.3.19.1") -> str:
    return dropin.render(dropin.blocks(dialect(version), TARGET), sheet="mail")


@pytest.mark.parametrize(
    ("found", "audit", "status"),
    [
        (dovecot(), True, "pass"),
        (dovecot(lines=(CHAIN,)), True, "fail"),
        (dovecot(lines=(CHAIN,)), False, "skip"),
        (dovecot(lines=(CHAIN, ASKS)), True, "pass"),  # what it is for
        (dovecot("2.2.10", lines=(CHAIN,)), True, "pass"),  # 2.2 sends it
        (dovecot(lines=(CHAIN,), drop_in=ours()), True, "pass"),  # ours makes up for it
    ],
)
def test_the_chain_in_ssl_ca(*, found: Dovecot, audit: bool, status: str):
    judged = existing.guide_chain_in_ssl_ca(found, audit=audit)
    assert judged.status == status
    assert status == "pass" or "/etc/dovecot/conf.d/10-ssl.conf line 12" in judged.message


@pytest.mark.parametrize(
    ("layout", "status"),
    [(DEBIANS, "fail"), (Layout(named=("conf.d/*.conf", "*-auth.conf")), "pass")],
)
def test_a_file_beside_conf_d_is_not_read_unless_it_is_included(layout: Layout, status: str):
    files = (
        ("/etc/dovecot/10-auth.conf", "x"),
        ("/etc/dovecot/conf.d/10-auth.conf", "x"),
        ("/etc/dovecot/a.conf", "x"),
    )
    judged = existing.guide_auth_file_path(dovecot(files=files, layout=layout), audit=True)
    assert judged.status == status
    assert "conf.d/10-auth.conf" not in judged.actual


def test_a_later_file_counts_only_where_it_says_something_else():
    line = Line("/etc/dovecot/local.conf", 3, "ssl", "ssl = yes")
    weak = Settings(**{**vars(TARGET), "ssl": "yes"})
    (same,) = existing.overridden_later(dovecot(lines=(line,)), SYSTEM, WANT, DEBIAN)
    (other,) = existing.overridden_later(dovecot(lines=(line,), settings=weak), SYSTEM, WANT, DEBIAN)
    earlier = Line("/etc/dovecot/conf.d/10-ssl.conf", 3, "ssl", "ssl = yes")
    (harmless,) = existing.overridden_later(dovecot(lines=(earlier,), settings=weak), SYSTEM, WANT, DEBIAN)
    assert (same.status, other.status, harmless.status) == ("pass", "fail", "pass")
    assert "/etc/dovecot/local.conf line 3 (ssl = yes)" in other.message


def test_a_file_from_elsewhere_is_read_when_what_includes_it_is() -> None:
    def included(by: str, pattern: str) -> Line:
        return Line(by, 1, INCLUDE, f"!include_try {pattern}")

    mine = Line("/opt/mail/own.conf", 3, "ssl", "ssl = yes")
    late = included("/etc/dovecot/local.conf", "/opt/mail/*.conf")
    early = included("/etc/dovecot/conf.d/10-ssl.conf", "/opt/mail/own.conf")
    onward = included("/opt/mail/first.conf", "own.conf")
    first = included("/etc/dovecot/local.conf", "/opt/mail/first.conf")
    for lines, later in (((late,), True), ((early,), False), ((onward, first), True), ((onward,), False), ((), False)):
        assert is_later(dovecot(lines=(*lines, mine)), mine) == later, lines


def test_where_a_drop_in_would_lose_it_is_told_and_what_will_be_done():
    found = dovecot("2.4.1", layout=Layout(later=(("protocols", 31),)))
    (judged,) = existing.overridden_later(found, SYSTEM, WANT, DEBIAN)
    assert judged.status == "skip"
    assert "it sets protocols (line 31) after it has read conf.d" in judged.message
    assert "more line at its end" in judged.message


@pytest.mark.parametrize(
    ("changed", "version", "status", "says"),
    [
        ({}, "2.4.1", "pass", ""),
        ({"maildir": "~/Mail:dir"}, "2.4.1", "pass", ""),
        ({"maildir": "~/Mail:dir"}, "2.3.13", "fail", "mail_location of Dovecot 2.3"),
        ({}, "2.5.0", "skip", "not known"),
    ],
)
def test_a_sheet_that_a_dialect_cannot_say(changed: dict[str, Any], version: str, status: str, says: str):
    want = WANT.model_copy(update=changed)
    (judged,) = existing.expressible(Packages(), System(dovecot_version=version, ipv6=True), want, DEBIAN)
    assert judged.status == status
    assert says in judged.message
    assert judged.blocking or status == "skip"


@pytest.mark.parametrize(
    ("offered", "drop_in", "status"),
    [
        ("1:2.3.19.1+dfsg1-2.1+deb12u7", ours(), "pass"),
        ("1:2.4.1+dfsg1-6", ours(), "fail"),
        ("1:2.4.1+dfsg1-6", None, "pass"),
        (None, ours(), "skip"),
    ],
)
def test_an_upgrade_into_another_dialect_is_told(offered: str | None, drop_in: str | None, status: str):
    (judged,) = existing.upgrade_ready(Packages(upgrade=offered), dovecot(drop_in=drop_in))
    assert judged.status == status
    assert status != "fail" or "would not start under 2.4" in judged.message


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\n", "pass"),
        ("# 2.4.1-4 (7d8c0e5759): /etc/dovecot/dovecot.conf\n", "pass"),
        ("# 2.4.1 (7d8c0e5759): /usr/local/etc/dovecot/dovecot.conf\n", "fail"),
        ("", "skip"),
    ],
)
def test_a_dovecot_that_was_built_by_hand_reads_another_file(told: str, status: str):
    judged = existing.configuration_path(dovecot(config=told))
    assert judged.status == status
    assert status != "fail" or "/usr/local/etc/dovecot/dovecot.conf" in judged.message


def test_another_instance_is_named_and_not_judged():
    assert existing.other_instance(dovecot()).status == "pass"
    judged = existing.other_instance(dovecot(instances=("/run/second",)))
    assert (judged.status, judged.actual) == ("skip", "/run/second")


def test_instances_are_read_from_doveadm_and_ours_is_left_out():
    told = (
        "path                         name    last used           running\n"
        "/run/dovecot                 dovecot 2026-11-23 11:24:57 yes    \n"
        "/run/second                          2026-11-23 11:27:08 yes    \n"
        "/run/third                   third   2026-11-23 11:27:09 no     \n"
    )
    assert _instances(told, "/var/run/dovecot/") == ("/run/second",)
    assert _instances("", "/run/dovecot") == ()
