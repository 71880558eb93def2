"""Servers of the lab, each broken in exactly one way and mended again: the finding says so, and only then.

Facts are read over SSH by their real commands, so this is also the test that these work on both families.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from canned import want as other_sheet

from mailhost import host as ssh
from mailhost import names, sheet
from mailhost.checks import firewall as firewall_checks
from mailhost.checks import listeners as listener_checks
from mailhost.checks import log as log_checks
from mailhost.checks import packages as package_checks
from mailhost.checks import preflight
from mailhost.checks import service as service_checks
from mailhost.facts import (
    bans,
    clock,
    disk,
    firewall,
    listeners,
    log,
    mta,
    packages,
    service,
    system,
    users,
)
from mailhost.families import family_of
from mailhost.host import sh
from mailhost.query import look
from mailhost.transcript import Transcript

ALL = ("imap", "pop3", "imaps", "pop3s")


class Server:
    """A connected server, its sheet, and the few words in which these tests speak to it."""

    def __init__(self, lab_server):
        self.want = sheet.load(lab_server.sheet, base=lab_server.sheet.parent)
        self.host = ssh.connect(self.want, Transcript())
        self.system = self.look(system.query)
        self.family = family_of(self.system.os_release)

    def look(self, query):
        family = self.family if hasattr(self, "family") else None
        return look(self.host, self.want, family, query)[0]

    def run(self, script, *args):
        return self.host.run(sh(script, *args, timeout=180)).checked().stdout

    @contextmanager
    def broken(self, script, mend):
        self.run(script)
        try:
            yield
        finally:
            self.run(mend)


@pytest.fixture(scope="module", params=["debian12", "el"])
def bare(request, lab_up):
    server = Server(lab_up(request.param))
    yield server
    server.host.close()


@pytest.fixture(scope="module", params=["debian12", "el"])
def dovecot(request, lab_up):
    """A server on which Dovecot runs, enabled, as its distribution ships it."""
    server = Server(lab_up(request.param))
    install = {
        "debian": "DEBIAN_FRONTEND=noninteractive apt-get -q -y install dovecot-imapd dovecot-pop3d",
        "redhat": "dnf -q -y install dovecot && systemctl enable dovecot && systemctl start dovecot",
    }[server.family.name]
    server.run(f"{install} >/dev/null 2>&1; useradd -m -s /bin/sh alice; sleep 1")
    yield server
    server.host.close()


def statuses(findings, wanted):
    return {f.subject: f.status for f in findings if f.id == wanted}


def test_a_bare_server_is_go_and_all_is_read_in_one_round_trip(bare):
    before = bare.host.round_trips
    queries = (
        *(clock.query, disk.query, packages.query, service.query, listeners.query, users.query, mta.query),
        *(firewall.query, bans.query, log.query_since(int(time.time()))),
    )
    now, room, offered, unit, ports, people, delivery, rules, banning, told = look(
        bare.host, bare.want, bare.family, *queries
    )
    assert bare.host.round_trips == before + 1
    answers = names.ask(bare.want.mail_names, bare.want.resolver)
    findings = [
        *preflight.system(bare.system, bare.want),
        *preflight.clock(now, bare.want),
        *preflight.disk(room),
        *preflight.names(answers, bare.system, bare.want, bare.host.address),
        *preflight.packages(offered, bare.system),
        *preflight.ports(ports),
        *preflight.mta(delivery, bare.want),
        *preflight.firewall(rules, bare.want),
        *preflight.bans(banning, bare.want),
        *preflight.users(people, bare.want),
        *log_checks.log(told),
    ]
    assert [f for f in findings if f.status in ("fail", "unknown")] == []
    assert all(f.evidence for f in findings)
    assert unit.installed is False
    assert {f.status for f in package_checks.packages(offered)} == {"fail"}
    assert {f.status for f in service_checks.enabled(unit)} == {"fail"}


def test_the_server_sees_both_ends_of_the_connection(bare):
    assert bare.system.ssh_address == bare.host.address
    assert bare.system.ssh_address in bare.system.public_addresses
    assert bare.system.ssh_client
    assert bare.system.interface == "eth0"
    assert bare.look(firewall.query).zone == "public"


def test_the_facts_of_a_dovecot_that_runs(dovecot):
    unit = dovecot.look(service.query)
    assert (unit.running, unit.enabled, unit.connected) == (True, True, 0)
    assert abs(unit.since - time.time()) < 3600
    assert dovecot.look(system.query).dovecot_version == "2.3.19.1"
    there = dovecot.look(packages.query)
    assert there.missing == ()
    assert there.dovecot_installed == "2.3.19.1"
    ports = dovecot.look(listeners.query)
    assert statuses(listener_checks.listeners(ports, dovecot.want, ALL, dovecot.system), "listeners") == {
        "pop3 110": "pass",
        "imap 143": "pass",
        "imaps 993": "pass",
        "pop3s 995": "pass",
    }
    assert {f.status for f in preflight.ports(ports)} == {"pass"}


def test_clock_synchronised_fails_in_a_container_without_a_time_service(bare):
    wanted = other_sheet()
    assert statuses(preflight.clock(bare.look(clock.query), wanted), "clock-synchronised") == {"": "fail"}


def test_names_resolve_fails_for_a_name_that_does_not_exist(bare):
    answers = names.ask(["nosuch.example.test"], bare.want.resolver)
    assert answers["nosuch.example.test"].missing or answers["nosuch.example.test"].problem
    wanted = bare.want.model_copy(update={"mail_names": ["nosuch.example.test"]})
    found = statuses(preflight.names(answers, bare.system, wanted, bare.host.address), "names-resolve")
    assert found["nosuch.example.test"] in ("fail", "unknown")


def test_mail_ports_free_names_the_program_that_holds_a_port(bare):
    script = (
        'systemd-run -q --unit=holder python3 -c \'import socket, time; s = socket.create_server(("", 143)); '
        "time.sleep(600)'; sleep 1"
    )
    with bare.broken(script, "systemctl stop holder"):
        found = {f.subject: f for f in preflight.ports(bare.look(listeners.query))}
    assert found["143"].status == "fail"
    assert "python3" in found["143"].message
    assert found["110"].status == "pass"


def test_users_homes_mbox_mail_leftovers_and_blocked_logins(bare):
    script = """
    useradd -m good; useradd -M homeless; useradd -m robbed; install -d -o root /home/robbed/Maildir
    useradd -m -c 'dovecot-runbook temporary account' rbk-0a1b2c3d; useradd -m -c 'my own' rbk-mine
    install -d /var/mail; echo mail >/var/mail/good; touch /etc/nologin
    """
    mend = """
    rm -f /etc/nologin /var/mail/good
    for user in good homeless robbed rbk-0a1b2c3d rbk-mine; do userdel -rf $user 2>/dev/null; done; exit 0
    """
    with bare.broken(script, mend):
        people = bare.look(users.query)
        found = preflight.users(people, bare.want)
    assert statuses(found, "users-homes") == {"home missing": "fail", "Maildir of another": "fail"}
    assert statuses(found, "mbox-mail") == {"": "fail"}
    assert statuses(found, "leftover-accounts") == {"": "fail"}
    (left,) = [f for f in found if f.id == "leftover-accounts"]
    assert "rbk-mine" not in left.message
    blocks = bare.family.name == "redhat"
    assert statuses(found, "login-blocked") == {"": "fail" if blocks else "pass"}
    assert {f.status for f in preflight.users(bare.look(users.query), bare.want)} == {"pass"}


def test_firewall_rules_that_only_last_until_the_restart_and_those_that_only_begin_then(bare):
    script = "firewall-cmd -q --add-service=imaps; firewall-cmd -q --permanent --add-port=995/tcp"
    with bare.broken(
        script, "firewall-cmd -q --remove-service=imaps; firewall-cmd -q --permanent --remove-port=995/tcp"
    ):
        rules = bare.look(firewall.query)
        found = firewall_checks.firewall(rules, other_sheet())
    now, later = statuses(found, "firewall-rules"), statuses(found, "firewall-permanent")
    assert (now["imaps 993"], later["imaps 993"]) == ("pass", "fail")
    assert (now["pop3s 995"], later["pop3s 995"]) == ("fail", "pass")
    assert (now["pop3 110"], later["starts with the server"]) == ("pass", "pass")


def test_a_firewall_that_is_stopped_or_does_not_start_with_the_server(bare):
    with bare.broken("systemctl -q disable firewalld", "systemctl -q enable firewalld"):
        found = firewall_checks.firewall(bare.look(firewall.query), bare.want)
    assert statuses(found, "firewall-permanent")["starts with the server"] == "fail"
    with bare.broken("systemctl stop firewalld", "systemctl start firewalld"):
        found = preflight.firewall(bare.look(firewall.query), bare.want)
    assert statuses(found, "firewall-known") == {"": "fail"}


def test_package_candidate_fails_without_package_lists(bare):
    lists = {"debian": "/var/lib/apt/lists", "redhat": "/etc/yum.repos.d"}[bare.family.name]
    script = f"mv {lists} {lists}.away && mkdir {lists}"
    if bare.family.name == "redhat":
        script += "; dnf -q clean all"
    with bare.broken(script, f"rm -r {lists} && mv {lists}.away {lists}"):
        (found, version) = preflight.packages(bare.look(packages.query), bare.system)
    assert (found.id, found.status, found.blocking) == ("package-candidate", "fail", True)
    assert (version.id, version.status) == ("dovecot-version-known", "fail")


def test_a_package_manager_that_is_busy_is_named(bare):
    lock = {"debian": "/var/lib/dpkg/lock-frontend", "redhat": "/var/lib/rpm/.rpm.lock"}[bare.family.name]
    script = f"""systemd-run -q --unit=holder python3 -c 'import fcntl, time
f = open("{lock}", "w"); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)'; sleep 1"""
    with bare.broken(script, "systemctl stop holder"):
        seen = bare.look(packages.query)
    assert lock in seen.locked_by
    assert statuses(preflight.packages(seen, bare.system), "package-candidate") == {"": "fail"}
    assert bare.look(packages.query).locked_by == ""


@pytest.mark.parametrize(
    ("script", "mend", "enabled", "active"),
    [
        ("systemctl -q disable dovecot", "systemctl -q enable dovecot", "fail", "pass"),
        ("systemctl -q mask dovecot", "systemctl -q unmask dovecot", "fail", "pass"),
        ("systemctl -q mask --runtime dovecot", "systemctl -q unmask --runtime dovecot", "fail", "pass"),
        ("systemctl stop dovecot", "systemctl start dovecot", "pass", "fail"),
        (
            "echo 'bogus = 1' >/etc/dovecot/local.conf; systemctl restart dovecot; sleep 2; exit 0",
            "rm /etc/dovecot/local.conf; systemctl reset-failed dovecot; systemctl start dovecot; sleep 1",
            "pass",
            "fail",
        ),
    ],
)
def test_unit_enabled_and_unit_active(dovecot, script, mend, enabled, active):
    with dovecot.broken(script, mend):
        unit = dovecot.look(service.query)
    assert statuses(service_checks.enabled(unit), "unit-enabled") == {"dovecot.service": enabled}
    assert statuses(service_checks.active(unit), "unit-active") == {"dovecot.service": active}
    unit = dovecot.look(service.query)
    assert unit.running
    assert unit.enabled


def test_log_errors_since_a_moment_from_the_journal_and_from_a_file(dovecot):
    def now():
        return dovecot.look(clock.query).now

    start = now()
    assert {f.status for f in log_checks.log(dovecot.look(log.query_since(start)))} == {"pass"}
    mend = "rm /etc/dovecot/local.conf; systemctl reset-failed dovecot; systemctl restart dovecot; sleep 1"
    for settings in ("bogus = 1", "log_path = /var/log/dovecot.log"):
        start = now()
        script = f"echo '{settings}' >/etc/dovecot/local.conf; systemctl restart dovecot; sleep 1"
        if "log_path" in settings:  # two lines as Dovecot writes them, one of them from before
            script += "; echo 'Nov  1 00:00:00 old: Error: of last month' >>/var/log/dovecot.log"
            script += "; date '+%b %e %H:%M:%S imap(alice): Error: made by a test' >>/var/log/dovecot.log"
        script += "; true"
        with dovecot.broken(script, mend):
            told = dovecot.look(log.query_since(start))
        assert statuses(log_checks.log(told), "log-errors") == {told.where: "fail"}
        assert not any("last month" in row.text for row in told.rows)
        assert told.where == ("/var/log/dovecot.log" if "log_path" in settings else "journal")


def test_reading_changes_nothing(dovecot):
    # rpm -q touches the lock and the shared memory of its data base
    state = "find /etc /var/lib/dpkg /var/lib/rpm -newer /run/mark 2>/dev/null | grep -v '/.rpm.lock$\\|-shm$'; exit 0"
    dovecot.run("touch /run/mark; sleep 1")
    began = dovecot.look(clock.query).now
    for query in (system.query, packages.query, service.query, listeners.query, users.query, mta.query, bans.query):
        dovecot.look(query)
    dovecot.look(firewall.query)
    dovecot.look(log.query_since(began))
    assert dovecot.run(state) == ""
    assert dovecot.run('journalctl -q -u dovecot --since="@$1" --no-pager', str(began)) == ""


def test_a_server_without_netstat_shows_the_same_by_ss(dovecot):
    shown = dovecot.look(listeners.query)
    with dovecot.broken("mv $(command -v netstat) /root/netstat", "mv /root/netstat /bin/netstat"):
        other = dovecot.look(listeners.query)
    assert (shown.tool, other.tool) == ("netstat", "ss")
    assert {(row.address, row.port, row.program) for row in shown.mail} == {
        (row.address, row.port, row.program) for row in other.mail
    }
