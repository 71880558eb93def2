"""Changes on a real server: applied, applied again, refused when stale, undone; each broken Dovecot is found out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import paramiko
import pytest

from mailhost import accounts, changes, given, host, operations, sheet
from mailhost.changes import ABSENT, STALE, Change, FileState, RestartUnit, WriteDropIn, WriteFile
from mailhost.checks import dovecot as checks
from mailhost.dovecot import dialect, dropin
from mailhost.dovecot.layout import LAST
from mailhost.facts import certificate_files, dovecot, firewall, packages, service, system
from mailhost.families import DEBIAN
from mailhost.finding import Finding
from mailhost.host import Command, Result
from mailhost.names import GECOS
from mailhost.query import look
from mailhost.transcript import Transcript
from runbook import lab

DROP_IN = f"/etc/dovecot/conf.d/{dropin.NAME}"


@dataclass
class Site:
    """A lab server, our connection to it, and what its sheet wants."""

    server: lab.Server
    host: host.Host
    want: sheet.Sheet

    def look(self, *queries: Any) -> Any:
        return look(self.host, self.want, DEBIAN, *queries)

    def say(self, script: str) -> str:
        """A script run past our own code."""
        ran = self.server.run(script)
        assert ran.rc == 0, ran
        return ran.out

    def run(self, commands: Sequence[Command]) -> list[Result]:
        return list(self.host.batch({str(n): command for n, command in enumerate(commands)}, stop=True).values())

    def apply(self, planned: Sequence[Change]) -> None:
        for change in planned:
            for result in self.run(change.commands()):
                result.checked()

    def refused(self, change: Change) -> Result:
        """The result of the command at which applying it ended."""
        last = self.run(change.commands())[-1]
        assert not last.ok
        return last

    def undo(self, applied: Sequence[Change]) -> None:
        for result in self.run(changes.undo(applied)):
            result.checked()

    def install(self) -> list[Change]:
        found, unit = self.look(packages.query, service.query)
        return operations.install(found, unit, self.want, DEBIAN)

    def configure(self) -> list[Change]:
        found, unit, about = self.look(dovecot.query, service.query, system.query)
        return operations.configure(found, unit, about, self.want, DEBIAN, dialect(found.version))

    def secure(self) -> list[Change]:
        found, unit, files = self.look(dovecot.query, service.query, certificate_files.query)
        read = given.read(self.want.tls)
        assert read is not None
        assert read.pair is not None
        return operations.secure(found, unit, files, read.pair, self.want, DEBIAN, dialect(found.version))

    def judge(self) -> dict[str, list[Finding]]:
        """What is not a pass, by id."""
        found, about, files = self.look(dovecot.query, system.query, certificate_files.query)
        read = given.read(self.want.tls)
        all_of_them = [
            *checks.configuration_valid(found),
            *checks.settings_effective(found, about, self.want, DEBIAN),
            *checks.drop_in_as_written(found, about, self.want, DEBIAN),
            *checks.certificate_installed(files, read and read.pair, self.want, DEBIAN),
            *checks.key_file_protected(files),
            *checks.trusted_networks(found),
        ]
        bad: dict[str, list[Finding]] = {}
        for finding in all_of_them:
            assert finding.evidence
            if finding.status != "pass":
                bad.setdefault(finding.id, []).append(finding)
        return bad

    def state(self) -> str:
        """What must be as before: files with rights and times, packages, the unit, firewall rules."""
        return self.say(
            "find /etc/dovecot /etc/ssl -ls; find /etc/dovecot -type f -exec sha256sum {} +; dpkg -l; "
            "systemctl show -p ActiveEnterTimestamp dovecot; "
            "firewall-cmd --list-all; firewall-cmd --permanent --list-all"
        )


@pytest.fixture(scope="module")
def bare_site(lab_up: Any) -> Iterator[Site]:
    server = lab_up("debian12")
    want = sheet.load(server.sheet, base=server.folder)
    connection = host.connect(want, Transcript())
    yield Site(server, connection, want)
    connection.close()


@pytest.fixture(scope="module")
def secured_site(bare_site: Site) -> Site:
    """From nothing to secure, the way that the sections go; each step done again is no change."""
    for step in (bare_site.install, bare_site.configure, bare_site.secure):
        first = step()
        assert first or step == bare_site.install  # a test before may have installed it
        bare_site.apply(first)
        assert step() == []
    return bare_site


@pytest.fixture
def site(secured_site: Site) -> Iterator[Site]:
    """The secured server, and put back after a test has broken it."""
    name = secured_site.want.name
    pair = f"/etc/ssl/certs/{name}.crt /etc/ssl/private/{name}.key"
    secured_site.say(f"rm -rf /root/kept && mkdir /root/kept && cp -a --parents /etc/dovecot {pair} /root/kept")
    yield secured_site
    secured_site.say(
        "rm -rf /etc/dovecot /run/dovecot-runbook && cp -a /root/kept/etc / && "
        "systemctl -q is-active dovecot && systemctl reload dovecot || systemctl restart dovecot"
    )


# ---- the way to a secure server


def test_the_package_does_not_start_dovecot_and_a_failed_install_leaves_no_mask(bare_site: Site):
    if bare_site.install():
        broken = changes.InstallPackages(DEBIAN, ("dovecot-core", "no-such-package-anywhere"), "dovecot.service")
        assert bare_site.refused(broken).code == 1
        assert "masked" not in bare_site.say("systemctl is-enabled dovecot 2>&1 || :")
        bare_site.apply(bare_site.install())
        assert bare_site.say("systemctl is-active dovecot || :").strip() == "inactive"
        assert bare_site.say("systemctl is-enabled dovecot").strip() == "enabled"


def test_a_secured_server_needs_no_change_and_no_finding_fails(site: Site):
    before = site.state()
    assert site.install() + site.configure() + site.secure() == []
    assert site.judge() == {}
    assert site.state() == before


def test_doveconf_and_stat_agree(site: Site):
    name = site.want.name
    told = site.say("doveconf ssl disable_plaintext_auth ssl_cert mail_location protocols")
    assert told.splitlines() == [
        "ssl = required",
        "disable_plaintext_auth = yes",
        f"ssl_cert = </etc/ssl/certs/{name}.crt",
        "mail_location = maildir:~/Maildir",
        "protocols = imap pop3",
    ]
    assert site.say(f"stat -c '%a %U:%G' /etc/ssl/private/{name}.key").strip() == "600 root:root"


def test_a_mask_that_was_left_behind_is_taken_off(site: Site):
    site.say("systemctl mask --runtime dovecot")
    planned = site.install()
    site.apply(planned)
    assert [change.title for change in planned] == ["unmask dovecot.service", "enable dovecot.service"]
    assert site.install() == []


def test_a_disabled_unit_is_enabled_and_disabled_again_by_undo(site: Site):
    site.say("systemctl disable dovecot")
    planned = site.install()
    site.apply(planned)
    assert site.say("systemctl is-enabled dovecot").strip() == "enabled"
    site.undo(planned)
    assert site.say("systemctl is-enabled dovecot || :").strip() == "disabled"
    site.apply(site.install())


# ---- files


MAIN = "/etc/dovecot/dovecot.conf"


def test_one_more_line_of_dovecot_conf_is_undone_to_the_byte(site: Site):
    site.say(f"printf '# no end' >>{MAIN}; chmod 0640 {MAIN}; chown root:mail {MAIN}")
    look = f"stat -c '%a %U:%G %Y %s' {MAIN}; sha256sum {MAIN}"
    before = site.say(look)
    change = changes.IncludeLast(MAIN, before.split()[4], LAST, "a test", DROP_IN)
    site.apply([change])
    assert site.say(f"tail -n 3 {MAIN}") == "\n".join(["# no end", *LAST.strip().splitlines()]) + "\n"
    assert site.say(f"stat -c '%a %U:%G' {MAIN}") == "640 root:mail\n"
    assert site.refused(change).code == STALE
    site.undo([change])
    assert site.say(look) == before
    site.undo([change])
    assert site.say(look) == before


def test_a_line_at_the_end_that_dovecot_refuses_is_never_written_and_a_strangers_edit_never_lost(site: Site):
    before = site.say(f"sha256sum {MAIN}")
    digest = before.split()[0]
    refused = site.refused(changes.IncludeLast(MAIN, digest, "\nbogus = yes\n", "a test", DROP_IN))
    assert f"{MAIN} line " in refused.stderr
    assert site.say(f"sha256sum {MAIN}") == before
    change = changes.IncludeLast(MAIN, digest, LAST, "a test", DROP_IN)
    site.apply([change])
    site.say(f"echo '# a stranger' >>{MAIN}")
    assert site.run(change.undo())[-1].code == STALE
    assert site.say(f"tail -n 1 {MAIN}") == "# a stranger\n"


def test_undo_brings_back_bytes_rights_owner_and_time(site: Site):
    site.say("printf old >/etc/rbk.test && chown games:mail /etc/rbk.test && chmod 0640 /etc/rbk.test")
    before = site.say("stat -c '%a %U:%G %Y %s' /etc/rbk.test; sha256sum /etc/rbk.test")
    digest = before.split()[4]
    change = WriteFile("/etc/rbk.test", FileState(digest, "0640", "games:mail"), b"new\n", "0600", secret=True)
    site.apply([change])
    assert site.say("cat /etc/rbk.test; stat -c %a%U /etc/rbk.test") == "new\n600root\n"
    site.undo([change])
    assert site.say("stat -c '%a %U:%G %Y %s' /etc/rbk.test; sha256sum /etc/rbk.test") == before
    site.undo([change])  # twice does no harm
    assert site.say("rm /etc/rbk.test; ls -A /etc | grep rbk || :") == ""


def test_undo_removes_what_was_not_there_and_leaves_what_somebody_changed(site: Site):
    change = WriteFile("/etc/rbk.d/new/file", ABSENT, b"new\n")
    site.apply([change])
    assert site.refused(change).code == STALE
    site.undo([change])
    assert site.say("find /etc/rbk.d -type f") == ""
    site.apply([change])
    site.say("echo mine >/etc/rbk.d/new/file")
    assert site.run(change.undo())[-1].code == STALE
    assert site.say("cat /etc/rbk.d/new/file; rm -r /etc/rbk.d") == "mine\n"


def test_a_stale_change_is_refused_and_nothing_is_touched(site: Site):
    site.say(f"echo '# edited' >>{DROP_IN}")
    planned = site.secure()
    site.say(f"echo '# edited again' >>{DROP_IN}")
    result = site.refused(planned[0])
    assert result.code == STALE
    assert "not as it was looked at" in result.stderr
    assert site.say(f"tail -n 1 {DROP_IN}") == "# edited again\n"


def test_forget_removes_the_copy_from_before(site: Site):
    change = WriteFile("/etc/rbk.test", ABSENT, b"1\n")
    again = WriteFile("/etc/rbk.test", FileState(change.digest), b"2\n")
    site.apply([change, again])
    assert site.say("ls /run/dovecot-runbook | wc -l").strip() == "1"
    for result in site.run(again.forget()):
        result.checked()
    assert site.say("rm /etc/rbk.test; ls -d /run/dovecot-runbook 2>&1 || :").endswith("No such file or directory\n")


# ---- candidates and restarts


def drop_in(site: Site, text: str) -> WriteDropIn:
    (found,) = site.look(dovecot.query)
    return WriteDropIn(DROP_IN, FileState(found.drop_in_digest), text.encode())


@pytest.mark.parametrize(
    "line",
    ["no_such_setting = yes", "ssl_min_protocol", "ssl_cert = </nowhere/at/all.pem", "protocols = imap bogus"],
)
def test_a_candidate_that_dovecot_refuses_is_not_installed(site: Site, line: str):
    before = site.state()
    result = site.refused(drop_in(site, f"{line}\n"))
    assert result.code == 1
    assert DROP_IN in result.stderr or "Unknown protocol" in result.stderr
    assert site.state() == before
    assert site.say("ls -d /run/dovecot-runbook.* 2>/dev/null || :") == ""


def test_a_candidate_is_judged_in_its_own_copy_even_with_absolute_includes(site: Site):
    site.say("sed -i 's#^!include conf.d/#!include /etc/dovecot/conf.d/#' /etc/dovecot/dovecot.conf")
    assert site.refused(drop_in(site, "no_such_setting = yes\n")).code == 1


def test_a_file_that_was_missing_before_is_not_held_against_the_candidate(site: Site):
    site.say("echo 'ssl_cert = </nowhere.pem' >/etc/dovecot/conf.d/00-x.conf")
    site.apply([drop_in(site, "ssl = no\n")])


def test_another_file_that_would_print_the_key_is_refused(site: Site):
    site.say("echo 'ssl_server_key_file = </etc/ssl/private/x' >/etc/dovecot/conf.d/00-x.conf")
    assert "'<'" in site.refused(drop_in(site, "ssl = no\n")).stderr


def test_a_restart_that_would_be_an_outage_is_not_tried(site: Site):
    pid = site.say("systemctl show -p MainPID dovecot")
    site.say("echo 'no_such_setting = yes' >/etc/dovecot/local.conf")
    result = site.refused(RestartUnit("dovecot.service"))
    assert "no_such_setting" in result.stderr
    assert site.say("systemctl show -p MainPID dovecot") == pid


def test_a_start_that_fails_tells_the_log_and_is_taken_back(site: Site):
    site.say("systemctl stop dovecot; echo 'listen = 192.0.2.77' >/etc/dovecot/local.conf")
    result = site.refused(changes.StartUnit("dovecot.service"))
    assert result.code == 1
    assert "192.0.2.77" in result.stderr


def test_a_restart_is_undone_with_the_file_from_before(site: Site):
    change = drop_in(site, "ssl = required\nprotocols = imap\n")
    applied = [change, RestartUnit("dovecot.service")]
    text = site.say(f"cat {DROP_IN}")
    site.apply(applied)
    assert ":995 " not in site.say("ss -tln")
    site.undo(applied)
    assert ":995 " in site.say("ss -tln")
    assert site.say(f"cat {DROP_IN}") == text


def test_a_renewed_certificate_is_served_after_a_reload(site: Site, tmp_path: Any):
    name = site.want.mail_names[0]
    lab.issue([name]).write(tmp_path)
    assert site.want.tls is not None
    paths = {"certificate": str(tmp_path / "leaf.pem"), "key": f"file:{tmp_path / 'key.pem'}"}
    renewed = replace(site, want=site.want.model_copy(update={"tls": site.want.tls.model_copy(update=paths)}))
    planned = renewed.secure()
    assert [change.title.split()[0] for change in planned] == ["replace", "replace", "reload"]
    pid = site.say("systemctl show -p MainPID dovecot")
    renewed.apply(planned)
    served = site.say("echo | openssl s_client -connect 127.0.0.1:993 2>/dev/null | openssl x509")
    assert served.strip() == (tmp_path / "leaf.pem").read_text().strip()
    assert site.say("systemctl show -p MainPID dovecot") == pid
    renewed.undo(planned)


# ---- findings, each broken in exactly that way


def test_configuration_valid(site: Site):
    site.say("echo 'no_such_setting = yes' >/etc/dovecot/local.conf")
    finding = site.judge()["configuration-valid"][0]
    assert "local.conf" in finding.actual


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("ssl = yes", "ssl"),
        ("protocols = imap", "protocols"),
        ("listen = 127.0.0.1", "listen"),
        ("mail_location = mbox:~/mail", "mail_location"),
        ("disable_plaintext_auth = no", "disable_plaintext_auth"),
        ("ssl_min_protocol = TLSv1", "ssl_min_protocol"),
        ("ssl_cert = </etc/dovecot/private/dovecot.pem", "ssl_cert"),
        ("ssl_key = </etc/dovecot/private/dovecot.key", "ssl_key"),
    ],
)
def test_settings_effective_names_the_file_and_line_that_overrides(site: Site, line: str, subject: str):
    site.say(f"printf '# mine\\n{line}\\n' >/etc/dovecot/local.conf")
    (finding,) = site.judge()["settings-effective"]
    assert (finding.subject, finding.status) == (subject, "fail")
    assert "/etc/dovecot/local.conf line 2" in finding.remedy


def test_settings_effective_sees_a_section_for_some_connections(site: Site):
    site.say("printf 'remote 10.0.0.0/8 {\\n  disable_plaintext_auth = no\\n}\\n' >/etc/dovecot/local.conf")
    (finding,) = site.judge()["settings-effective"]
    assert (finding.subject, finding.severity) == ("disable_plaintext_auth", "high")
    assert "remote 10.0.0.0/8" in finding.message


def test_drop_in_as_written(site: Site):
    site.say(f"echo '# my own line' >>{DROP_IN}")
    assert site.judge()["drop-in-as-written"][0].actual == "another text"
    site.say(f"rm {DROP_IN}")
    assert site.judge()["drop-in-as-written"][0].actual == "not there"


def test_certificate_installed(site: Site):
    path = f"/etc/ssl/certs/{site.want.name}.crt"
    site.say(f"cat /etc/ssl/certs/ssl-cert-snakeoil.pem >{path}")
    (finding,) = site.judge()["certificate-installed"]
    assert finding.subject == path
    site.say(f"rm {path}")
    assert site.judge()["certificate-installed"][0].actual == "not there"


@pytest.mark.parametrize("how", ["chmod 0644", "chgrp ssl-cert"])
def test_key_file_protected(site: Site, how: str):
    site.say(f"{how} /etc/ssl/private/{site.want.name}.key")
    assert set(site.judge()) == {"key-file-protected"}


def test_trusted_networks(site: Site):
    site.say("echo 'login_trusted_networks = 10.0.0.0/8' >/etc/dovecot/local.conf")
    (finding,) = site.judge()["trusted-networks"]
    assert finding.actual == "10.0.0.0/8"
    assert "local.conf line 1" in finding.remedy


# ---- firewall


def test_firewall_rules_are_changed_now_and_for_good_and_taken_back(site: Site):
    def plan() -> list[Change]:
        (found,) = site.look(firewall.query)
        return operations.firewall(found, site.want)

    site.say("firewall-cmd -q --add-port=143/tcp; firewall-cmd -q --permanent --add-service=imap")
    opening = {"pop3": "closed", "imap": "closed", "pop3s": "open", "imaps": "open"}
    site.want = site.want.model_copy(update={"firewall": sheet.Firewall.model_validate(opening)})
    before = site.say("firewall-cmd --list-all; firewall-cmd --permanent --list-all")
    planned = plan()
    site.apply(planned)
    for place in ("", "--permanent"):
        rules = site.say(f"firewall-cmd {place} --list-services; firewall-cmd {place} --list-ports")
        assert {"ssh", "pop3s", "imaps"} <= set(rules.split())
        assert "imap" not in rules.split()
        assert "143/tcp" not in rules.split()
    assert plan() == []
    assert site.refused(planned[0]).code == STALE
    site.undo(planned)
    assert site.say("firewall-cmd --list-all; firewall-cmd --permanent --list-all") == before


# ---- temporary accounts


def ssh_lets_in(site: Site, name: str, password: str) -> bool:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(site.server.known_hosts))
        try:
            client.connect(site.server.address, 22, name, password, allow_agent=False, look_for_keys=False, timeout=20)
        except paramiko.AuthenticationException:
            return False
        return True


def made(site: Site, **keywords: Any) -> accounts.Account:
    account = accounts.temporary("run-1")
    for result in site.run(accounts.create(account, **keywords)):
        result.checked()
    return account


def gone(site: Site, name: str) -> bool:
    left = f"getent passwd {name}; ls -d /home/{name}; ls /run/systemd/system | grep {name}; ls /var/mail | grep {name}"
    return site.say(f"({left}) 2>/dev/null || :") == ""


def test_a_temporary_account_reads_mail_and_has_no_ssh(site: Site):
    account = made(site)
    control = "useradd -m -s /bin/sh control && echo control:a-right-password | chpasswd"
    assert account.password not in site.say(f"{control}; cat /run/systemd/system/*rbk* /run/dovecot-runbook/*rbk*")
    assert f"{account.name}:$6$rounds=1000$" in site.say("cat /etc/shadow"), "a hash that takes no time at each login"
    login = f"imaps://127.0.0.1/ --insecure --user '{account.name}:{account.password}'"
    site.say(f"apt-get -q -y install curl >/dev/null; curl -sS {login} | grep INBOX")
    assert ssh_lets_in(site, "control", "a-right-password"), "sshd takes passwords at all"
    assert not ssh_lets_in(site, account.name, account.password), "not even for forwarding: the login itself fails"
    for result in site.run(accounts.remove(account)):
        result.checked()
    assert gone(site, account.name)
    site.say("userdel -r control 2>/dev/null || :")
    for result in site.run(accounts.remove(account)):  # the timer may have been first
        result.checked()


def test_the_server_removes_the_account_when_nobody_else_does(site: Site):
    account = made(site, minutes=30)
    unit = account.unit
    site.say(f"runuser -u {account.name} -- true 2>/dev/null; setsid runuser -u {account.name} -s /bin/sleep -- 600 &")
    site.say(f"sed -i s/OnActiveSec=30min/OnActiveSec=2s/ /run/systemd/system/{unit}.timer")
    site.say(f"systemctl daemon-reload && systemctl restart {unit}.timer")
    until = time.monotonic() + 20
    while not gone(site, account.name) and time.monotonic() < until:
        time.sleep(0.5)
    assert gone(site, account.name)


def test_leftovers_go_and_others_stay(site: Site):
    waiting, dead = made(site), made(site)
    site.say(f"systemctl stop {dead.unit}.timer")
    site.say(f"useradd -M -c 'Rebecca' rbk-ecca; useradd -M -c '{GECOS}' other")
    for result in site.run(accounts.remove_leftovers()):
        result.checked()
    users = site.say("getent passwd | cut -d : -f 1").split()
    assert {waiting.name, "rbk-ecca", "other"} <= set(users)
    assert gone(site, dead.name)
    for result in site.run(accounts.remove_leftovers([waiting.name])):
        result.checked()
    assert gone(site, waiting.name)
    assert site.run(accounts.remove(replace(waiting, name="rbk-ecca")))[-1].code == 1
    site.say("userdel rbk-ecca; userdel other")
