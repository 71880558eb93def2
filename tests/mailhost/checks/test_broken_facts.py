"""Each finding of preflight and of the server's own state, broken in exactly its way.

What a server of the lab can be brought to is broken for real in test_broken_servers.py; here the rest, and the
finer points, on texts that were captured or (the samples' README tells which) written down.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from canned import answer, sample, want

from mailhost.checks import firewall as firewall_checks
from mailhost.checks import listeners as listener_checks
from mailhost.checks import log as log_checks
from mailhost.checks import packages as package_checks
from mailhost.checks import preflight, users
from mailhost.checks import service as service_checks
from mailhost.facts import bans, clock, disk, firewall, listeners, log, mta, packages, service, system
from mailhost.facts import users as user_facts
from mailhost.families import REDHAT
from mailhost.names import Resolved

SHEET = want()


def only(findings, wanted, subject=None):
    (finding,) = [f for f in findings if f.id == wanted and subject in (None, f.subject)]
    if finding.status in ("fail", "unknown"):
        assert finding.message
        assert finding.remedy
    return finding


def read_system(about="debian12/about", release="debian12/os_release", dovecot=(127, "")):
    return answer(
        system.query,
        about=sample(about).read_text(),
        os_release=sample(release).read_text(),
        addresses=sample("debian12/addresses").read_text(),
        dovecot=dovecot,
    )


def test_a_good_server_passes():
    findings = preflight.system(read_system(), SHEET)
    assert {f.status for f in findings} == {"pass"}
    assert not any(f.message or f.remedy for f in findings)


def test_os_supported_fails_for_an_unknown_distribution_and_for_an_old_systemd():
    unknown = only(preflight.system(read_system(release="made/os_release-unknown"), SHEET), "os-supported")
    old = only(preflight.system(read_system("made/about-selinux"), SHEET), "os-supported")
    assert (unknown.status, unknown.blocking) == ("fail", True)
    assert "Some Linux" in unknown.message
    assert old.status == "fail"
    assert "systemd 195" in old.message


def test_selinux_tools_fails_where_selinux_enforces_and_restorecon_is_missing():
    finding = only(preflight.system(read_system("made/about-selinux"), SHEET), "selinux-tools")
    assert (finding.status, finding.blocking) == ("fail", True)
    assert "policycoreutils" in finding.remedy


def test_memory_available_fails_when_little_is_left():
    finding = only(preflight.system(read_system("made/about-little_memory"), SHEET), "memory-available")
    assert (finding.status, finding.severity) == ("fail", "low")


@pytest.mark.parametrize("values", [{"listen": ["*", "::"]}, {"addresses": ["2001:db8::1"]}])
def test_ipv6_usable_fails_when_the_sheet_wants_what_the_kernel_has_not(values):
    assert only(preflight.system(read_system("made/about-no_ipv6"), want(**values)), "ipv6-usable").status == "fail"
    assert only(preflight.system(read_system("made/about-no_ipv6"), SHEET), "ipv6-usable").status == "pass"


def test_ipv6_usable_fails_for_an_address_that_is_not_the_servers():
    finding = only(preflight.system(read_system(), want(listen=["2001:db8::99"])), "ipv6-usable")
    assert finding.status == "fail"
    assert "2001:db8::99" in finding.message


def read_clock(said, now=1000):
    return answer(clock.query, now=f"asked=1000.0\nnow={now}\n", sync=said)


def test_clock_synchronised_fails_is_unknown_and_is_ignored():
    stopped = sample("debian12/clock-chronyd_stopped").read_text()
    assert only(preflight.clock(read_clock(stopped), SHEET), "clock-synchronised").status == "fail"
    assert only(preflight.clock(read_clock(""), SHEET), "clock-synchronised").status == "unknown"
    ignored = only(preflight.clock(read_clock(stopped), want(time_sync="ignore")), "clock-synchronised")
    assert ignored.status == "skip"
    kept = sample("centos7-reconstructed/clock-ntp").read_text()
    assert only(preflight.clock(read_clock(kept), SHEET), "clock-synchronised").status == "pass"


@pytest.mark.parametrize(("now", "status"), [(1000, "pass"), (1060, "pass"), (1090, "fail"), (900, "fail")])
def test_clock_offset_fails_over_a_minute(now, status):
    finding = only(preflight.clock(read_clock("", now), SHEET), "clock-offset")
    assert finding.status == status
    assert ("ahead" if now > 1000 else "behind") in finding.message or status == "pass"


def test_disk_space_fails_without_room_or_inodes_and_is_unknown_for_a_stale_mount():
    found = {f.subject: f for f in preflight.disk(answer(disk.query, df=sample("made/df-full").read_text()))}
    assert {subject: f.status for subject, f in found.items()} == {
        "/": "fail",
        "/var": "pass",
        "/home": "unknown",
        "/run": "pass",
    }
    assert found["/"].blocking
    assert {f.status for f in preflight.disk(answer(disk.query, df=""))} == {"unknown"}


NAME = "mail.example.test"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (Resolved(NAME, ("10.88.0.7",)), "pass"),
        (Resolved(NAME, missing=True), "fail"),
        (Resolved(NAME, ("10.99.0.9",)), "fail"),
        (Resolved(NAME, ("10.88.0.7", "10.99.0.9")), "fail"),
        (Resolved(NAME, ("9.9.9.9",)), "unknown"),  # the server has private addresses only: it may stand behind NAT
        (Resolved(NAME, problem="A: no answer within 5 s"), "unknown"),
    ],
)
def test_names_resolve(said, status):
    assert only(preflight.names({NAME: said}, read_system(), SHEET), "names-resolve", NAME).status == status


def test_an_address_that_no_name_leads_to_is_not_proven():
    v6 = "2001:4860:4860::8844"
    there = replace(read_system(), addresses=tuple(system.Address("eth0", a) for a in ("10.88.0.7", "8.8.4.4", v6)))

    def judged(*resolved, **sheet):
        return only(preflight.names({NAME: Resolved(NAME, resolved)}, there, want(**sheet)), "addresses-proven")

    assert judged("8.8.4.4", v6).status == "pass"  # nobody outside gets to the private one
    assert (judged("8.8.4.4").status, judged("8.8.4.4").expected) == ("skip", f"10.88.0.7, 8.8.4.4, {v6}")
    assert f"listens at {v6} as well" in judged("8.8.4.4").message
    assert judged("8.8.4.4", listen=["*"]).status == "pass"
    assert judged("8.8.4.4", listen=["8.8.4.4"]).status == "pass"
    assert judged("8.8.4.4", addresses=["8.8.4.4", v6]).status == "pass"
    assert judged("10.88.0.7").status == "skip"
    assert judged().status == "skip"


def test_names_resolve_passes_for_the_address_to_which_ssh_connected():
    answers = {NAME: Resolved(NAME, ("9.9.9.9",))}
    assert only(preflight.names(answers, read_system(), SHEET, "9.9.9.9"), "names-resolve").status == "pass"


def test_names_resolve_passes_for_an_address_that_the_sheet_names():
    named = want(addresses=["9.9.9.9"])
    assert (
        only(preflight.names({NAME: Resolved(NAME, ("9.9.9.9",))}, read_system(), named), "names-resolve").status
        == "pass"
    )


def read_packages(dpkg="", apt="", locks=""):
    return answer(
        packages.query,
        needed="dovecot-core dovecot-imapd dovecot-pop3d\n",
        dpkg=dpkg,
        apt=apt,
        locks=locks,
    )


OFFERED = sample("debian12/apt_policy").read_text()


def test_package_candidate_fails_when_none_is_offered_or_the_manager_is_busy():
    lists = sample("debian12/apt_policy-no_lists").read_text()
    none = only(preflight.packages(read_packages(apt=lists), read_system()), "package-candidate")
    assert (none.status, none.blocking) == ("fail", True)
    assert "apt-get update" in none.message
    busy = read_packages(apt=OFFERED, locks=sample("debian12/locks").read_text())
    finding = only(preflight.packages(busy, read_system()), "package-candidate")
    assert finding.status == "fail"
    assert "process 944" in finding.message
    assert only(preflight.packages(read_packages(apt=OFFERED), read_system()), "package-candidate").status == "pass"
    there = read_packages(sample("debian12/dpkg").read_text(), locks=sample("debian12/locks").read_text())
    assert only(preflight.packages(there, read_system()), "package-candidate").status == "pass"


@pytest.mark.parametrize(
    ("said", "status"),
    [("2.2.10\n", "pass"), ("2.4.1-4 (7d8c0e5759)\n", "pass"), ("2.1.17\n", "fail"), ("3.0.0\n", "fail")],
)
def test_dovecot_version_known(said, status):
    findings = preflight.packages(read_packages(), read_system(dovecot=(0, said)))
    finding = only(findings, "dovecot-version-known")
    assert (finding.status, finding.blocking) == (status, True)


def test_dovecot_version_known_fails_when_nobody_tells_it():
    finding = only(preflight.packages(read_packages(), read_system(dovecot=(1, "Fatal: x"))), "dovecot-version-known")
    assert finding.status == "fail"
    assert "Fatal: x" in finding.message


def read_listeners(name):
    return answer(listeners.query, listeners=sample(name).read_text() if "/" in name else name)


FOREIGN = 'ss\ntcp LISTEN 0 5 0.0.0.0:143 0.0.0.0:* users:(("couriertcpd",pid=4711,fd=3))\n'


def test_mail_ports_free_names_who_holds_a_port():
    found = {f.subject: f for f in preflight.ports(read_listeners(FOREIGN))}
    assert found["143"].status == "fail"
    assert found["143"].blocking
    assert "couriertcpd (process 4711), which is Courier" in found["143"].message
    assert "systemctl disable courier-imap" in found["143"].remedy
    assert found["110"].status == "pass"
    assert {f.status for f in preflight.ports(read_listeners("debian12/ss"))} == {"pass"}
    assert {f.status for f in preflight.ports(read_listeners("none\n"))} == {"unknown"}
    assert {f.subject for f in preflight.ports(read_listeners(FOREIGN), want(protocols=["pop3"]))} == {"110", "995"}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("debian12/mta-postfix_mbox", "fail"),
        ("made/mta-postfix_maildir", "pass"),
        ("made/mta-postfix_lda", "pass"),
        ("made/mta-exim_mbox", "fail"),
    ],
)
def test_mta_delivers_to_maildir(name, status):
    fact = answer(mta.query, mta=sample(name).read_text())
    assert only(preflight.mta(fact, SHEET), "mta-delivers-to-maildir").status == status


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("mta=none\n", "skip"),
        ("mta=sendmail\n", "unknown"),
        ("mta=postfix\n", "unknown"),
        ("mta=postfix\nhome_mailbox = Maildir/\nmailbox_command = procmail -a x\n", "unknown"),
        ("mta=postfix\nhome_mailbox = Mail/\nmailbox_command =\n", "fail"),
    ],
)
def test_mta_that_is_absent_or_does_not_tell(said, status):
    assert only(preflight.mta(answer(mta.query, mta=said), SHEET), "mta-delivers-to-maildir").status == status


def read_firewall(tools="", zones="", ufw="", rules=""):
    return answer(firewall.query, tools=tools, zones=zones, ufw=ufw, rules=rules)


RUNNING = sample("debian12/firewall_tools").read_text()
DIFFER = read_firewall(RUNNING, sample("debian12/zones-differ").read_text())


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        (read_firewall(rules=sample("debian12/rules-nft_own").read_text()), "skip"),
        (read_firewall(rules=sample("debian12/rules-iptables_own").read_text()), "skip"),
        (read_firewall("has_firewall-cmd=yes\nenabled_firewalld=yes\n"), "fail"),
        (read_firewall("has_ufw=yes\nenabled_ufw=yes\nufw_enabled=yes\n"), "fail"),
        (read_firewall("has_ufw=yes\nenabled_ufw=yes\nufw_enabled=no\n"), "pass"),
        (read_firewall(), "pass"),
        (DIFFER, "pass"),
    ],
)
def test_firewall_known(fact, status):
    finding = only(preflight.firewall(fact, SHEET), "firewall-known")
    assert (finding.status, finding.severity) == (status, "low")
    if fact.tool in ("nftables", "iptables"):
        assert "993" in finding.remedy
        # nobody but the connect from outside can judge them
        assert {f.status for f in firewall_checks.firewall(fact, SHEET)} == {"skip"}


def test_a_firewall_that_is_stopped_for_good_is_none_and_is_named():
    fact = read_firewall("has_firewall-cmd=yes\n")
    assert (fact.tool, fact.idle) == ("none", "firewalld")
    assert (
        "firewalld is installed, stopped and disabled" in only(preflight.firewall(fact, SHEET), "firewall-known").actual
    )
    assert {f.status for f in firewall_checks.firewall(fact, SHEET)} == {"pass", "skip"}


def test_firewall_rules_and_firewall_permanent_are_judged_apart():
    findings = firewall_checks.firewall(DIFFER, SHEET)
    now = {f.subject: f.status for f in findings if f.id == "firewall-rules"}
    later = {f.subject: f.status for f in findings if f.id == "firewall-permanent"}
    assert now == {"pop3 110": "fail", "imap 143": "unknown", "imaps 993": "pass", "pop3s 995": "fail"}
    assert later == {
        "pop3 110": "pass",
        "imap 143": "pass",
        "imaps 993": "fail",
        "pop3s 995": "pass",
        "starts with the server": "pass",
    }
    closed = only(findings, "firewall-rules", "pop3s 995")
    assert "--add-service=pop3s" in closed.remedy
    assert all(f.message and f.remedy for f in findings if f.status in ("fail", "unknown"))


def test_firewall_permanent_fails_when_the_firewall_does_not_start_with_the_server():
    fact = replace(DIFFER, enabled=False)
    assert only(firewall_checks.firewall(fact, SHEET), "firewall-permanent", "starts with the server").status == "fail"


def test_without_a_firewall_only_the_connect_from_outside_tells_what_is_closed():
    findings = firewall_checks.firewall(read_firewall(), SHEET)
    assert only(findings, "firewall-rules", "pop3 110").status == "skip"
    assert only(findings, "firewall-rules", "imaps 993").status == "pass"


FAIL2BAN = answer(bans.query, bans=sample("debian12/bans-fail2ban").read_text())


def test_ban_limit_fails_when_our_failed_logins_would_get_us_banned():
    finding = only(preflight.bans(FAIL2BAN, SHEET), "ban-limit")
    assert (finding.status, finding.severity) == ("fail", "medium")
    assert "failed_logins" in finding.remedy
    assert only(preflight.bans(FAIL2BAN, want(failed_logins=2)), "ban-limit").status == "pass"
    assert only(preflight.bans(replace(FAIL2BAN, client="198.51.100.7"), SHEET), "ban-limit").status == "pass"


def test_ban_limit_of_sshguard_and_crowdsec():
    kin = answer(bans.query, bans=sample("centos7-reconstructed/bans-sshguard").read_text())
    assert [f.status for f in preflight.bans(kin, SHEET)] == ["fail", "unknown"]
    assert [f.status for f in preflight.bans(bans.Bans(active=("denyhosts",)), SHEET)] == ["pass"]


USERS = answer(user_facts.query, users=sample("debian12/passwd").read_text())


def test_users_homes_that_are_missing_or_of_another():
    found = {f.subject: f for f in users.users_homes(USERS, SHEET)}
    assert set(found) == {"home missing", "Maildir of another"}
    assert "carol" in found["home missing"].message
    assert "bob" in found["Maildir of another"].message
    stolen = replace(USERS, rows=(replace(USERS.rows[0], home_owner=0),))
    assert [f.subject for f in users.users_homes(stolen, SHEET)] == ["home of another"]


def test_mbox_mail_names_users_whose_mail_would_not_be_shown():
    finding = only(users.mbox_mail(USERS, SHEET), "mbox-mail")
    assert finding.status == "fail"
    assert "alice" in finding.message


def test_leftover_accounts_are_ours_by_name_and_by_their_text():
    finding = only(users.leftover_accounts(USERS), "leftover-accounts")
    assert finding.status == "fail"
    foreign = replace(USERS, leftovers=(replace(USERS.leftovers[0], gecos="somebody's own"),))
    assert only(users.leftover_accounts(foreign), "leftover-accounts").status == "pass"
    awaited = replace(USERS, leftovers=(replace(USERS.leftovers[0], awaited=True),))
    finding = only(users.leftover_accounts(awaited), "leftover-accounts")
    assert (finding.status, "the server removes it" in finding.actual) == ("pass", True)


def test_login_blocked_where_dovecots_pam_heeds_the_file():
    text = sample("el-standin/passwd-nologin").read_text()
    blocked = answer(user_facts.query, REDHAT, users=text)
    assert only(users.login_blocked(blocked), "login-blocked").status == "fail"
    heedless = answer(user_facts.query, users=text.replace("pam_nologin=yes", "pam_nologin=no"))
    assert only(users.login_blocked(heedless), "login-blocked").status == "pass"


def test_packages_installed_names_each_that_is_missing():
    found = {f.subject: f.status for f in package_checks.packages(read_packages(apt=OFFERED))}
    assert found == {"dovecot-core": "fail", "dovecot-imapd": "fail", "dovecot-pop3d": "fail"}
    assert {f.status for f in package_checks.packages(packages.Packages())} == {"unknown"}


@pytest.mark.parametrize(
    ("name", "enabled", "active"),
    [
        ("debian12/unit-active", "pass", "pass"),
        ("debian12/unit-masked", "fail", "fail"),
        ("debian12/unit-failed", "pass", "fail"),
        ("el-standin/unit-absent", "fail", "fail"),
        ("centos7-reconstructed/unit-active", "pass", "pass"),
    ],
)
def test_unit_enabled_and_unit_active(name, enabled, active):
    fact = answer(service.query, show=sample(name).read_text(), who="")
    assert only(service_checks.enabled(fact), "unit-enabled").status == enabled
    assert only(service_checks.active(fact), "unit-active").status == active


def test_a_unit_that_is_starting_is_not_known():
    fact = service.Service(unit="dovecot.service", load="loaded", active="activating", sub="start")
    assert only(service_checks.active(fact), "unit-active").status == "unknown"


ALL = ("imap", "pop3", "imaps", "pop3s")


def test_listeners_of_the_guide_before_there_is_tls():
    fact = read_listeners("centos7-reconstructed/netstat-guide")
    before = listener_checks.listeners(fact, SHEET, ("imap", "pop3"), read_system())
    assert {f.subject: f.status for f in before} == {"pop3 110": "pass", "imap 143": "pass"}
    after = listener_checks.listeners(fact, SHEET, ALL, read_system())
    assert only(after, "listeners", "imaps 993").status == "fail"


def test_listeners_that_nobody_asked_for():
    fact = read_listeners("debian12/ss")
    findings = listener_checks.listeners(fact, want(protocols=["imap"]), ("imap", "imaps"), read_system())
    assert {f.subject: f.status for f in findings} == {
        "pop3 110": "fail",
        "imap 143": "pass",
        "imaps 993": "pass",
        "pop3s 995": "fail",
    }
    four = listener_checks.listeners(fact, want(listen=["*"]), ALL, read_system())
    assert {f.status for f in four} == {"fail"}
    assert "::" in four[0].message


def test_listeners_that_are_missing_or_held_by_another():
    findings = listener_checks.listeners(read_listeners(FOREIGN), SHEET, ALL, read_system())
    assert {f.status for f in findings} == {"fail"}
    assert "couriertcpd" in only(findings, "listeners", "imap 143").message
    assert {f.status for f in listener_checks.listeners(read_listeners("none\n"), SHEET, ALL, read_system())} == {
        "unknown"
    }


def test_a_socket_units_wildcard_takes_ipv4_as_well():
    rows = tuple(listeners.Listener("tcp6", "::", port, 1, "systemd") for port in (110, 143, 993, 995))
    findings = listener_checks.listeners(listeners.Listeners(tool="ss", rows=rows), SHEET, ALL, read_system())
    assert {f.status for f in findings} == {"pass"}


def read_log(**outputs):
    empty = {"where": "log_path = syslog\n", "journal": "", "ring": "", "files": ""}
    return answer(log.query_since(1_000), **(empty | outputs))


def test_log_errors_and_log_warnings():
    broken = log_checks.log(read_log(journal=sample("debian12/journal-unknown_setting").read_text()))
    assert only(broken, "log-errors").status == "fail"
    assert "Unknown setting: bogus" in only(broken, "log-errors").message
    assert only(broken, "log-warnings").status == "pass"
    warned = (
        "2026-11-23T10:23:00+0000 mail dovecot[1]: master: Warning: service(imap-login): process_limit (100) reached\n"
    )
    assert only(log_checks.log(read_log(journal=warned)), "log-warnings").status == "fail"
    assert {f.status for f in log_checks.log(read_log(journal=(127, "")))} == {"unknown"}
    assert {f.status for f in log_checks.log(read_log())} == {"pass"}
    mismatch = sample("centos7-reconstructed/journal-key_mismatch").read_text()
    assert "Key is for a different cert" in only(log_checks.log(read_log(journal=mismatch)), "log-errors").message
