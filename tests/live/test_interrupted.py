"""Runs that are stopped, killed or cut off half way: the record is true, the server valid, the next run ends well.

The tests of this file tell one story on one server, in their order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailhost import changes
from runbook import lab
from runbook import record as records

INSTALL = "02_install  The packages come"
SECURE = "05_secure  Certificate and key are installed"
ACCOUNT = "05_secure  Every way in lets in"


@dataclass
class Site:
    server: lab.Server
    product: Any
    looks: Any

    def stopped_at(self, step: str, stop: Callable[[subprocess.Popen[str]], object], *, later: float = 0.7) -> str:
        """Run the runbook in apply mode until a step has begun, then do that to it; returns what it said."""
        process = self.product.start(self.server.name, "--mode", "apply")
        said = []
        for line in process.stdout:
            said.append(line)
            if step in line:
                time.sleep(later)
                stop(process)
        code = process.wait(120)
        text = "".join(said)
        assert step in text, text
        assert code != 0, text
        assert "Traceback" not in text, text
        return text

    @property
    def last(self) -> records.Record:
        return self.product.last(self.server.name)

    def quiet(self) -> None:
        """Wait until nothing of the run works on the server any more."""
        self.looks.say(
            "n=0; while pgrep -x 'apt-get|dpkg' >/dev/null && [ $n -lt 240 ]; do n=$((n + 1)); sleep 0.5; done; "
            "pgrep -x 'apt-get|dpkg' && exit 1; exit 0"
        )

    def valid(self) -> None:
        """Nothing half done is left in force."""
        self.quiet()
        assert self.looks.say("dpkg --audit") == ""
        assert self.looks.say("doveconf -nx >/dev/null && echo fine") == "fine\n"
        assert self.looks.say("find /etc \\( -name '*.rbk*' -o -name '.rbk*' -o -name '*.dovecot-runbook*' \\)") == ""

    def mended(self) -> None:
        """The next run ends as wanted, and one after it has nothing to do."""
        told = self.product.run(self.server.name, "--mode", "apply", "--json")
        assert (told.rc, told.json["verdict"]) == (0, "as-wanted"), told.text + str(bad(self.last))
        self.valid()
        assert self.looks.say("systemctl is-enabled dovecot; systemctl is-active dovecot") == "enabled\nactive\n"


def bad(record: records.Record) -> list[str]:
    return [f"{f.id}: {f.message}" for _, f in record.findings if f.status in ("fail", "unknown")]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def site(product: Any, busy_up: Callable[..., lab.Server], looks: Any) -> Site:
    server = busy_up("debian12", variant="bare")
    return Site(server, product, looks(server))


@pytest.fixture
def unsecured(site: Site) -> Iterator[Site]:
    """Section 05 has something to do: its part of our drop-in was edited."""
    site.looks.say(
        "sed -i 's/^ssl_min_protocol = .*/ssl_min_protocol = TLSv1/' /etc/dovecot/conf.d/99-dovecot-runbook.conf"
    )
    return site


def test_ctrl_c_in_the_middle_of_the_install(site: Site):
    site.stopped_at(INSTALL, lambda process: process.send_signal(signal.SIGINT), later=3)
    assert site.last.state == "closed"
    assert site.last.verdict == "interrupted"
    assert [s.verdict for s in site.last.sections][:2] == ["as-wanted", "interrupted"]
    assert {s.verdict for s in site.last.sections[2:]} <= {"not-run"}
    assert site.product.command("verify", str(site.last.path)).rc == 0


def test_the_connection_is_cut_in_the_middle_of_the_install(site: Site):
    site.quiet()
    site.looks.say("apt-get -q -y purge 'dovecot-*' >/dev/null 2>&1; systemctl is-enabled dovecot || :")
    text = site.stopped_at(
        INSTALL, lambda _: site.server.run("for p in $(pgrep -f '^sshd: root'); do kill -9 $p; done"), later=3
    )
    assert "connection" in text
    assert "To do:" in text
    assert [s.verdict for s in site.last.sections][:3] == ["as-wanted", "failed", "not-run"]


def test_the_next_run_ends_as_wanted(site: Site):
    site.quiet()
    site.mended()


def test_sigterm_in_the_middle_of_securing(unsecured: Site):
    unsecured.stopped_at(SECURE, lambda process: process.send_signal(signal.SIGTERM))
    assert unsecured.last.verdict == "interrupted"
    assert unsecured.product.command("verify", str(unsecured.last.path)).rc == 0
    time.sleep(3)
    unsecured.valid()


def test_the_connection_is_cut_in_the_middle_of_securing(unsecured: Site):
    text = unsecured.stopped_at(
        SECURE, lambda _: unsecured.server.run("for p in $(pgrep -f '^sshd: root'); do kill -9 $p; done"), later=0.3
    )
    assert "To do:" in text
    assert unsecured.last.verdict == "failed"
    time.sleep(3)
    unsecured.valid()


def test_the_kernel_is_killed_while_there_is_an_account(site: Site):
    def kill(process: subprocess.Popen[str]) -> None:
        for pid in children(process.pid):
            os.kill(pid, signal.SIGKILL)

    site.stopped_at(ACCOUNT, kill, later=0.2)
    assert site.last.verdict in ("interrupted", "failed")
    assert "kernel died" in str([s.error for s in site.last.sections])
    assert site.looks.say("getent passwd | grep -c ^rbk-") == "2\n"
    assert site.looks.say("systemctl list-timers --all --no-legend | grep -c dovecot-runbook-rbk") == "2\n"
    site.valid()


def test_the_next_run_knows_of_them_and_removes_them(site: Site):
    site.mended()
    left = "getent passwd | grep ^rbk-; ls -d /home/rbk-* 2>/dev/null; ls /run/systemd/system | grep rbk- || :"
    assert site.looks.say(left) == ""


def test_the_runbook_is_killed_while_there_is_an_account(site: Site):
    site.stopped_at(ACCOUNT, lambda process: process.kill(), later=0.2)
    time.sleep(1)
    assert site.last.verdict == "interrupted"
    assert site.last.state == "interrupted"
    listed = site.product.command("records", site.server.name, "--json")
    assert "interrupted" in listed.text or listed.rc == 0
    site.valid()


def test_the_timers_remove_the_accounts(site: Site):
    timers = "ls /run/systemd/system | sed -n 's/\\(dovecot-runbook-rbk-.*\\)\\.timer$/\\1/p'"
    assert site.looks.say(timers)
    both = "systemctl start $unit.service; systemctl stop $unit.timer 2>/dev/null || :"
    site.looks.say(f"for unit in $({timers}); do {both}; done")
    site.mended()
    # copies from before that the stopped runs have left: for root only, and gone with the first run after an hour
    assert site.looks.say("find /run/dovecot-runbook -maxdepth 0 ! -perm 0700 2>/dev/null || :") == ""
    (tidy,) = changes.forget_old(minutes=0)
    site.server.run(list(tidy.argv))
    site.looks.no_leftovers()


def test_a_change_that_does_not_prove_itself_is_undone(site: Site):
    """An owner's file that is read after ours names another certificate: what we would install is never served."""
    name = site.server.name
    issued = lab.issue([site.server.hostname])
    site.server.run("cat >/etc/ssl/certs/owner.pem", stdin=issued.fullchain)
    site.server.run("umask 077; cat >/etc/ssl/private/owner.key", stdin=issued.key)
    site.looks.say(
        "printf 'ssl_cert = </etc/ssl/certs/owner.pem\\nssl_key = </etc/ssl/private/owner.key\\n' "
        ">/etc/dovecot/conf.d/zz-owner.conf; "
        f"rm /etc/ssl/certs/{name}.crt; echo '# mine' >>/etc/dovecot/conf.d/99-dovecot-runbook.conf; "
        "sed -i 's/^ssl_cert = .*/ssl_cert = <\\/etc\\/ssl\\/certs\\/owner.pem/; "
        "s/^ssl_key = .*/ssl_key = <\\/etc\\/ssl\\/private\\/owner.key/' /etc/dovecot/conf.d/99-dovecot-runbook.conf; "
        "systemctl restart dovecot"
    )
    served = "echo | openssl s_client -connect 127.0.0.1:993 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    before, seen = site.looks.etc(folders=False), site.looks.say(served)
    told = site.product.run(name, "--mode", "apply", "--section", "05")
    assert told.rc == 1, told.text
    assert "change-applied" in told.text
    assert "served-certificate" in told.text
    assert "was undone" in told.text
    assert site.last.changes == 0
    assert site.looks.etc(folders=False) == before
    assert site.looks.say(served) == seen
    assert site.looks.say("systemctl is-active dovecot") == "active\n"
    site.looks.no_leftovers()
    site.looks.say("rm /etc/dovecot/conf.d/zz-owner.conf")
    site.mended()
    assert site.looks.say(served) != seen
