"""Whatever is wrong at the start: exit 1, a text that helps, a record where one is due, and nothing is changed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook import lab

WITHIN = True  # servers and sheets are what this is about


@dataclass
class Site:
    server: lab.Server
    product: Any
    looks: Any

    def sheet(self, **changed: Any) -> Path:
        return Path(self.product.sheet(self.server, "changed", **changed))

    def ssh(self, **changed: Any) -> Path:
        return self.sheet(ssh=yaml.safe_load(self.server.sheet.read_text())["ssh"] | changed)

    def tls(self, without: str = "", **changed: Any) -> Path:
        values = yaml.safe_load(self.server.sheet.read_text())["tls"] | changed
        return self.sheet(tls={key: value for key, value in values.items() if key != without})

    def records(self) -> int:
        return len(self.product.records(self.server.name))

    def logins(self) -> str:
        return str(
            self.looks.say("journalctl -q --no-pager -u ssh -u sshd | grep -c 'Connection from\\|Accepted' || :")
        )


@pytest.fixture(scope="module")
def site(product: Any, lab_up: Callable[..., lab.Server], looks: Any) -> Site:
    server = lab_up("debian12")
    return Site(server, product, looks(server))


@pytest.fixture
def untouched(site: Site) -> Iterator[Site]:
    """Whatever the test does, the server is as before."""

    def state() -> tuple[str, ...]:
        return site.looks.etc(), site.looks.packages(), site.looks.users(), site.looks.firewall()

    before = state()
    yield site
    assert state() == before


def helpful(told: Any, *words: str) -> None:
    """One text for a person: what is wrong and what to do."""
    assert told.rc == 1, told.text
    assert "Traceback" not in told.text
    assert "a defect of the runbook" not in told.text
    assert "To do:" in told.text
    for word in words:
        assert word in told.text, told.text


# ---- the sheet


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mail_nmaes": ["x.example.test"]}, ["mail_nmaes"]),
        ({"failed_logins": "many"}, ["failed_logins"]),
        ({"ssh": {"port": 70000}}, ["ssh.port", "65535"]),
        ({"ssh": {"key": "no/such/key"}}, ["ssh.key", "no such file"]),
        ({"tls": {"certificate": "no/such/leaf.pem", "key": "env:KEY"}}, ["tls.certificate", "no such file"]),
        ({"test_account": {"name": "anna", "password": "Geheim-123"}}, ["test_account.password", "env:NAME"]),
        ({"mail_names": []}, ["mail_names"]),
        ({"protocols": ["imap", "smtp"]}, ["protocols"]),
        ({"probe_from": "jump"}, ["probe_from", "ssh.jump"]),
        ({"maildir": "~/Maildir; touch /tmp/pwned"}, ["maildir"]),
        ({"maildir": "~/$(touch /tmp/pwned)"}, ["maildir"]),
        ({"name": "x; touch /tmp/pwned"}, ["name"]),
        ({"mail_names": ["`touch /tmp/pwned`"]}, ["mail_names"]),
        ({"base_dir": "/run/dovecot\nssl = no"}, ["base_dir"]),
        ({"ssh": {"user": "-oProxyCommand=touch /tmp/pwned"}}, ["ssh.user"]),
        ({"ssh": {"host": "-oProxyCommand=x"}}, ["ssh.host"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_sheet_is_refused_before_any_connection(site: Site, changed: dict[str, Any], words: list[str]):
    path, records, logins = site.sheet(**changed), site.records(), site.logins()
    told = site.product.run(path, "--mode", "apply")
    helpful(told, str(path), *words)
    assert "Geheim-123" not in told.text
    assert (site.records(), site.logins()) == (records, logins)
    assert site.looks.say("ls /tmp/pwned 2>/dev/null || :") == ""


def test_every_fault_of_a_sheet_is_told_at_once(site: Site):
    told = site.product.run(site.sheet(failed_logins="many", nonsense=1, protocols=["smtp"]))
    helpful(told, "failed_logins", "nonsense", "protocols")


def test_a_file_that_is_no_sheet(site: Site, tmp_path: Path):
    path = tmp_path / "odd.yaml"
    for text in ("name: [unclosed", "- a list", "", "\x00\x01"):
        path.write_text(text)
        helpful(site.product.run(path), str(path))
    helpful(site.product.run("no-such-server-anywhere"), "no-such-server-anywhere", "runbook init")


# ---- the connection


def failed_in_preflight(site: Site, told: Any, *words: str) -> None:
    """No-go in 01, the rest did not run, and a record that says so and verifies."""
    helpful(told, *words)
    last = site.product.last(site.server.name)
    assert last.verdict == "no-go"
    assert [s.verdict for s in last.sections] == ["no-go"] + ["not-run"] * 5
    assert site.product.command("verify", str(last.path)).rc == 0
    index = (last.path / "index.html").read_text()
    assert "Traceback" not in index


def test_an_unknown_host_key(untouched: Site, tmp_path: Path):
    (tmp_path / "known_hosts").write_text("")
    told = untouched.product.run(untouched.ssh(known_hosts=str(tmp_path / "known_hosts")), "--mode", "apply")
    failed_in_preflight(untouched, told, "known_hosts", "ssh-keyscan")


def test_a_changed_host_key(untouched: Site, tmp_path: Path):
    untouched.looks.say("rm -f /root/odd*; ssh-keygen -q -t ed25519 -N '' -f /root/odd")
    other = untouched.looks.say("cat /root/odd.pub").split()
    (tmp_path / "known_hosts").write_text(f"{untouched.server.address} {other[0]} {other[1]}\n")
    told = untouched.product.run(untouched.ssh(known_hosts=str(tmp_path / "known_hosts")), "--mode", "apply")
    failed_in_preflight(untouched, told, "changed")


def test_a_login_that_is_refused(untouched: Site, tmp_path: Path):
    untouched.looks.say("rm -f /root/odd*; ssh-keygen -q -t ed25519 -N '' -f /root/odd")
    key = tmp_path / "key"
    key.write_text(untouched.looks.say("cat /root/odd"))
    key.chmod(0o600)
    failed_in_preflight(untouched, untouched.product.run(untouched.ssh(key=str(key)), "--mode", "apply"), "refused")


def test_nobody_answers(untouched: Site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    told = untouched.product.run(untouched.ssh(port=free), "--mode", "apply")
    failed_in_preflight(untouched, told, str(free))


def test_a_name_that_does_not_resolve(untouched: Site):
    told = untouched.product.run(untouched.ssh(host="nowhere.invalid"), "--mode", "apply")
    failed_in_preflight(untouched, told, "nowhere.invalid")


@pytest.fixture
def plain_user(site: Site) -> Iterator[str]:
    site.looks.say(
        "useradd -m -s /bin/sh carl; mkdir -p /home/carl/.ssh; cp /root/.ssh/authorized_keys /home/carl/.ssh/; "
        "chown -R carl: /home/carl/.ssh"
    )
    yield "carl"
    site.looks.say("userdel -r carl 2>/dev/null || :")


def test_sudo_is_refused(site: Site, plain_user: str):
    before = site.looks.etc(), site.looks.packages()
    failed_in_preflight(site, site.product.run(site.ssh(user=plain_user), "--mode", "apply"), "sudo")
    assert (site.looks.etc(), site.looks.packages()) == before


# ---- the server


def broken(site: Site, script: str, mend: str, *words: str, sheet: Path | None = None) -> Any:
    site.looks.say(script)
    try:
        before = site.looks.etc(), site.looks.packages(), site.looks.users()
        told = site.product.run(sheet or site.server.sheet, "--mode", "apply")
        assert (site.looks.etc(), site.looks.packages(), site.looks.users()) == before
    finally:
        site.looks.say(mend)
    assert told.rc == 1, told.text
    assert "Traceback" not in told.text
    assert "To do:" in told.text
    for word in words:
        assert word in told.text, told.text
    last = site.product.last(site.server.name)
    assert last.verdict == "no-go"
    assert [s.verdict for s in last.sections][1:] == ["not-run"] * 5
    assert last.changes == 0
    return last


def test_an_unknown_distribution(site: Site):
    broken(
        site,
        "cp -P /etc/os-release /root/; rm /etc/os-release; "
        "printf 'ID=plan9\\nPRETTY_NAME=\"Plan 9\"\\n' >/etc/os-release",
        "rm /etc/os-release; cp -P /root/os-release /etc/os-release",
        "Plan 9",
    )


def test_a_dovecot_newer_than_we_know(site: Site):
    last = broken(
        site,
        # not a real one: a stand-in that tells a version which does not exist yet
        "printf '#!/bin/sh\\necho 2.5.0\\n' >/usr/local/sbin/dovecot; chmod 0755 /usr/local/sbin/dovecot",
        "rm /usr/local/sbin/dovecot",
        "2.5.0",
        "2.2, 2.3 or 2.4",
    )
    assert {f.id for _, f in last.findings if f.status == "fail"} == {"dovecot-version-known"}


def test_a_port_that_another_program_holds(site: Site):
    last = broken(
        site,
        "systemd-run -q --collect -p TimeoutStopSec=1 --unit=intruder systemd-socket-activate -l 143 /bin/cat; "
        "sleep 0.5",
        "systemctl stop intruder",
        "143",
        "systemd-socket",
    )
    assert {f.id for _, f in last.findings if f.status == "fail"} == {"mail-ports-free"}


# ---- the certificate


def no_go(site: Site, sheet: Path, *words: str) -> set[str]:
    told = site.product.run(sheet, "--mode", "apply")
    helpful(told, *words)
    last = site.product.last(site.server.name)
    assert last.verdict == "no-go"
    assert [s.verdict for s in last.sections] == ["no-go"] + ["not-run"] * 5
    return {f.id for _, f in last.findings if f.status in ("fail", "unknown")}


def test_no_certificate(untouched: Site):
    sheet = untouched.product.sheet(untouched.server, "bare", without=("tls",))
    assert no_go(untouched, sheet, "never invents one") == {"certificate-given"}


def test_the_key_of_another_certificate(untouched: Site, tmp_path: Path):
    lab.issue([untouched.server.hostname]).write(tmp_path)
    sheet = untouched.tls(key=f"file:{tmp_path / 'key.pem'}")
    assert no_go(untouched, sheet, "the key belongs to no certificate") == {"key-matches"}


def test_a_certificate_that_has_expired(untouched: Site, tmp_path: Path):
    lab.issue([untouched.server.hostname], days=0.01).write(tmp_path)
    sheet = untouched.tls(certificate=str(tmp_path / "leaf.pem"), key=f"file:{tmp_path / 'key.pem'}")
    assert no_go(untouched, sheet, "has expired") == {"certificate-dates"}


def test_a_section_alone_is_stopped_as_well(untouched: Site):
    sheet = untouched.product.sheet(untouched.server, "bare", without=("tls",))
    told = untouched.product.run(sheet, "--mode", "apply", "--section", "02")
    assert told.rc == 1, told.text
    assert "never invents one" in told.text
    assert untouched.product.last(untouched.server.name).changes == 0


def test_a_secret_that_is_not_there(untouched: Site):
    sheet = untouched.tls(key="env:NO_SUCH_VARIABLE_ANYWHERE")
    told = untouched.product.run(sheet, "--mode", "apply")
    helpful(told, "NO_SUCH_VARIABLE_ANYWHERE")


# ---- the command


@pytest.mark.parametrize(
    "words",
    [["run"], ["run", "x", "--mode", "aply"], ["run", "x", "--section", "nonsense"], ["nonsense"], ["audit", "--x"]],
)
def test_wrong_usage(site: Site, words: list[str]):
    told = site.product.command(*words)
    assert told.rc == 64, told.text
    assert "Traceback" not in told.text
