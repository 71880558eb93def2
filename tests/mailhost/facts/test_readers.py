"""Facts out of what servers said: each reader is pure, so captured texts are all that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from canned import SAMPLES, answer, sample, want

from mailhost.errors import CommandError
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
from mailhost.families import DEBIAN, REDHAT, family_of


def read_system(about: Path, release: Path, dovecot: tuple[int, str] = (127, "")) -> system.System:
    return answer(
        system.query,
        about=about.read_text(),
        os_release=release.read_text(),
        addresses=sample("debian12/addresses").read_text(),
        dovecot=dovecot,
    )


def test_system_tells_who_and_what_the_server_is() -> None:
    fact = read_system(sample("debian12/about"), sample("debian12/os_release"), (0, "2.3.19.1 (9b53102964)\n"))
    assert (fact.id, fact.version, fact.systemd, fact.uid) == ("debian", "12", 252, 0)
    assert fact.pretty_name == "Debian GNU/Linux 12 (bookworm)"
    assert fact.dovecot_version == "2.3.19.1"
    assert fact.selinux == "absent"
    assert fact.ipv6
    assert fact.public_addresses == ("10.88.0.7",)
    assert fact.memory_kb == (24683656, 23671860)
    assert family_of(fact.os_release) is DEBIAN


def test_system_without_dovecot_and_without_ipv6() -> None:
    fact = read_system(sample("made/about-no_ipv6"), sample("el-standin/os_release"))
    assert fact.dovecot_version is None
    assert fact.dovecot_problem == ""
    assert not fact.ipv6
    assert family_of(fact.os_release) is REDHAT


def test_a_dovecot_that_does_not_tell_its_version_is_a_problem_and_not_an_absence() -> None:
    fact = read_system(sample("debian12/about"), sample("debian12/os_release"), (1, "Fatal: broken\n"))
    assert fact.dovecot_version is None
    assert "broken" in fact.dovecot_problem


def test_memory_of_a_kernel_that_does_not_tell_what_is_available() -> None:
    fact = read_system(sample("made/about-little_memory"), sample("debian12/os_release"))
    assert fact.memory_available_kb == 71_000


def test_both_ends_of_the_connection_come_from_the_server(tmp_path: Path) -> None:
    about = tmp_path / "about"
    text = sample("debian12/about").read_text()
    about.write_text(text.replace("ssh=", "ssh=198.51.100.7 50000 ::ffff:10.88.0.7 22"))
    fact = read_system(about, sample("debian12/os_release"))
    assert (fact.ssh_client, fact.ssh_address, fact.interface) == ("198.51.100.7", "10.88.0.7", "eth0")


def test_a_shell_that_cannot_tell_is_an_error() -> None:
    with pytest.raises(CommandError):
        answer(system.query, about=(1, ""), os_release="", addresses="", dovecot="")


def test_clock_offset_is_the_servers_time_less_ours() -> None:
    fact = answer(
        clock.query, now="asked=1000.0\nnow=1090\n", sync=sample("debian12/clock-chronyd_stopped").read_text()
    )
    assert fact.offset == pytest.approx(90)
    assert fact.synchronised is False


def test_a_clock_of_which_no_tool_tells_is_not_known() -> None:
    fact = answer(clock.query, now="asked=1000.0\nnow=1000\n", sync="")
    assert fact.synchronised is None


def test_disk_of_a_full_file_system_and_one_without_inodes() -> None:
    fact = answer(disk.query, df=sample("made/df-full").read_text())
    rows = {row.path: row for row in fact.rows}
    assert rows["/"].inodes == 0
    assert rows["/var"].inodes is None
    assert rows["/home"].available is None


def debian_packages(dpkg: str, apt: str, locks: str = "") -> packages.Packages:
    return answer(
        packages.query, DEBIAN, needed="dovecot-core dovecot-imapd dovecot-pop3d\n", dpkg=dpkg, apt=apt, locks=locks
    )


def test_installed_packages_need_no_candidate() -> None:
    fact = debian_packages(sample("debian12/dpkg").read_text(), "")
    assert fact.missing == ()
    assert fact.dovecot_installed == "2.3.19.1"
    assert fact.candidates == {}
    assert fact.reason == ""


def test_candidates_of_packages_that_are_missing() -> None:
    fact = debian_packages("", sample("debian12/apt_policy").read_text())
    assert fact.candidate_dovecot == "2.3.19.1"
    assert len(fact.missing) == 3


def test_no_package_lists_is_a_reason() -> None:
    fact = debian_packages("", sample("debian12/apt_policy-no_lists").read_text(), sample("debian12/locks").read_text())
    assert fact.candidate_dovecot is None
    assert "apt-get update" in fact.reason
    assert fact.locked_by == "process 944 holds /var/lib/dpkg/lock-frontend"


def test_red_hats_packages_with_the_package_managers_own_reason() -> None:
    none = sample("centos7-reconstructed/rpm-none").read_text()
    fact = answer(
        packages.query, REDHAT, needed="dovecot\n", rpm=(1, none), dnf=(1, "", "Cannot find baseurl"), locks=""
    )
    assert fact.missing == ("dovecot",)
    assert "baseurl" in fact.reason
    offered = sample("centos7-reconstructed/dnf_list").read_text()
    fact = answer(packages.query, REDHAT, needed="dovecot\n", rpm=(1, none), dnf=offered, locks="")
    assert fact.candidate_dovecot == "2.2.10"


@pytest.mark.parametrize(
    ("said", "upgrade", "untold"),
    [
        ((1, "", "Error: No matching Packages to list\n"), "1:2.3.16-8.el9", ""),
        ((0, "Available Upgrades\ndovecot.x86_64  2:2.4.1-1+el9  dovecot-2.4-latest\n"), "2:2.4.1-1+el9", ""),
        ((1, "", "Error: Cache-only enabled but no cache for 'baseos'\n"), None, "no cache for 'baseos'"),
    ],
)
def test_what_an_upgrade_brings_on_red_hat(said: tuple[int, str], upgrade: str | None, untold: str) -> None:
    rpm = "dovecot\t1:2.3.16-8.el9\n"
    outputs = {"needed": "dovecot\n", "rpm": rpm, "dnf": "", "locks": "", "upgrade": said}
    fact = answer(packages.query_with_upgrade, REDHAT, **outputs)
    assert fact.upgrade == upgrade
    assert untold in fact.untold
    assert packages.query_with_upgrade.commands(want(), DEBIAN) == packages.query.commands(want(), DEBIAN)


@pytest.mark.parametrize("system_name", ["debian12", "centos7-reconstructed"])
def test_a_running_unit(system_name: str) -> None:
    fact = answer(service.query, show=sample(f"{system_name}/unit-active").read_text(), who="")
    assert fact.running
    assert fact.enabled
    assert not fact.masked
    assert fact.since is not None
    assert fact.started in (fact.since, fact.since - 1)
    assert fact.unit == "dovecot.service"


def test_units_that_are_masked_failed_or_absent() -> None:
    masked = answer(service.query, show=sample("debian12/unit-masked").read_text(), who="")
    failed = answer(service.query, show=sample("debian12/unit-failed").read_text(), who="")
    absent = answer(service.query, show=sample("el-standin/unit-absent").read_text(), who="")
    assert (masked.installed, masked.masked, masked.enabled) == (True, True, False)
    assert (failed.active, failed.result, failed.exit_status, failed.since) == ("failed", "exit-code", 89, None)
    assert (absent.installed, absent.connected) == (False, 0)


def test_people_who_are_connected() -> None:
    show = sample("debian12/unit-active").read_text()
    assert answer(service.query, show=show, who=sample("made/who-three").read_text()).connected == 3
    assert answer(service.query, show=show, who=(75, "")).connected is None


def test_the_same_listeners_from_either_tool() -> None:
    shown = [
        answer(listeners.query, listeners=sample(f"debian12/{tool}").read_text()).rows for tool in ("netstat", "ss")
    ]
    assert set(shown[0]) == set(shown[1])
    fact = answer(listeners.query, listeners=sample("debian12/ss").read_text())
    assert {row.port for row in fact.mail} == {110, 143, 993, 995}
    assert all(row.dovecot for row in fact.mail)
    assert not answer(listeners.query, listeners="none\n").known


def test_users_their_maildirs_and_leftovers() -> None:
    fact = answer(users.query, users=sample("debian12/passwd").read_text())
    rows = {user.name: user for user in fact.rows}
    assert set(rows) == {"alice", "bob", "carol"}
    assert rows["alice"].mbox_bytes == 2
    assert (rows["bob"].uid, rows["bob"].maildir_owner) == (1001, 0)
    assert not rows["carol"].home_exists
    assert [user.name for user in fact.leftovers] == ["rbk-0a1b2c3d"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("debian12/mta-postfix_mbox", ("postfix", "", "")),
        ("made/mta-postfix_maildir", ("postfix", "Maildir/", "")),
        ("made/mta-exim_mbox", ("exim", "", "mail_spool")),
    ],
)
def test_where_mail_is_delivered(name: str, expected: tuple[str, str, str]) -> None:
    fact = answer(mta.query, mta=sample(name).read_text())
    assert (fact.name, fact.home_mailbox, fact.localdelivery) == expected
    assert fact.problem == ""


def test_a_postfix_that_tells_nothing_is_a_problem() -> None:
    assert "fatal" in answer(mta.query, mta=(0, "mta=postfix\n", "postconf: fatal: no main.cf")).problem


def test_bans_of_fail2ban_and_its_kin() -> None:
    fact = answer(bans.query, bans=sample("debian12/bans-fail2ban").read_text())
    assert fact.active == ("fail2ban",)
    (jail,) = fact.rows
    assert (jail.jail, jail.limit, jail.seconds) == ("dovecot", 3, 600)
    assert set(jail.ignored) == {"127.0.0.0/8", "::1", "198.51.100.7"}
    kin = answer(bans.query, bans=sample("centos7-reconstructed/bans-sshguard").read_text())
    assert [(row.tool, row.limit) for row in kin.rows] == [("sshguard", 3), ("crowdsec", None)]
    assert kin.client == "198.51.100.7"


def read_firewall(tools: str, zones: str = "", ufw: str = "", rules: str = "") -> firewall.Firewall:
    return answer(firewall.query, tools=tools, zones=zones, ufw=ufw, rules=rules)


FIREWALLD = "active_firewalld=yes\nenabled_firewalld=yes\nhas_firewall-cmd=yes\ninterface=eth0\ndefault_zone=public\n"


def test_firewalld_now_and_after_a_restart() -> None:
    fact = read_firewall(sample("debian12/firewall_tools").read_text(), sample("debian12/zones-differ").read_text())
    assert (fact.tool, fact.active, fact.enabled, fact.zone) == ("firewalld", True, True, "public")
    assert fact.runtime == {"pop3": "open", "imap": "unknown", "imaps": "open", "pop3s": "closed"}
    assert fact.permanent == {"pop3": "closed", "imap": "closed", "imaps": "closed", "pop3s": "open"}
    assert fact.open_as == {"pop3": ("100-120/tcp",), "imaps": ("imaps",)}
    assert fact.permanent_as == {"pop3s": ("995/tcp",)}
    assert fact.known_services == ("pop3", "imap", "pop3s", "imaps")
    assert fact.raw.startswith("public")
    assert "rich rules" in fact.raw
    assert "\n\n" not in fact.raw


def test_firewalld_of_centos_7_1_knows_no_imap_by_name() -> None:
    tools = FIREWALLD + "service_imaps.xml=yes\nservice_pop3s.xml=yes\n"
    fact = read_firewall(tools, sample("centos7-reconstructed/zones").read_text())
    assert fact.known_services == ("pop3s", "imaps")
    assert fact.runtime["pop3"] == "open"
    assert set(fact.permanent.values()) == {"closed"}


def test_the_zone_is_the_one_of_the_interface_by_which_ssh_comes_in() -> None:
    zones = "trusted (active)\n  target: ACCEPT\n  interfaces: eth0\n\npublic\n  target: default\n  interfaces: \n"
    fact = read_firewall(FIREWALLD, zones + "@permanent\n" + zones)
    assert fact.zone == "trusted"
    assert set(fact.runtime.values()) == {"open"}


def test_ufw_with_profiles_and_sources() -> None:
    fact = read_firewall("has_ufw=yes\nenabled_ufw=yes\nufw_enabled=yes\n", ufw=sample("debian12/ufw").read_text())
    assert (fact.tool, fact.active, fact.enabled) == ("ufw", True, True)
    assert fact.runtime == {"pop3": "closed", "imap": "unknown", "imaps": "open", "pop3s": "open"}


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("debian12/rules-nft_own", "nftables"),
        ("debian12/rules-iptables_own", "iptables"),
        ("debian12/rules-iptables_docker", "none"),
        ("made/rules-nft_podman", "none"),
    ],
)
def test_plain_rules_are_a_firewall_and_those_of_containers_are_none(name: str, tool: str) -> None:
    fact = read_firewall("", rules=sample(name).read_text())
    assert fact.tool == tool
    assert not fact.managed


def test_a_firewall_that_is_installed_and_stopped() -> None:
    tools = "has_firewall-cmd=yes\nenabled_firewalld=yes\n"
    fact = read_firewall(tools, rules=sample("debian12/rules-ufw_left").read_text())
    assert (fact.tool, fact.active, fact.enabled) == ("firewalld", False, True)


def read_log(**outputs: str | tuple[int, str]) -> log.Log:
    empty: dict[str, str | tuple[int, str]] = {"where": "log_path = syslog\n", "journal": "", "ring": "", "files": ""}
    return answer(log.query_since(1_000), **(empty | outputs))


def test_errors_from_the_journal_with_what_is_harmless_told_apart() -> None:
    fact = read_log(journal=sample("debian12/journal-unknown_setting").read_text())
    assert any("Unknown setting: bogus" in row.text for row in fact.errors)
    assert not any("setrlimit" in row.text for row in fact.errors)
    assert any("Killed with signal 15" in row.text and row.known for row in fact.rows)
    assert fact.warnings == ()
    assert fact.where == "journal"


def test_the_same_error_from_two_sources_is_one() -> None:
    ring = sample("debian12/ring").read_text()
    line = ring.strip().removeprefix("Nov 23 10:29:49 Error: ")
    who, _, rest = line.partition(": ")
    journal = f"2026-11-23T10:29:49+0000 mail dovecot[1]: {who}: Error: {rest}\n"
    assert len(read_log(journal=journal, ring=ring).errors) == 1


def test_a_log_file_of_dovecots_own() -> None:
    fact = read_log(journal=(127, ""), files=sample("debian12/files").read_text())
    assert fact.where == "/var/log/dovecot.log"
    assert len(fact.errors) == 1


def test_no_log_at_all_is_known_as_such() -> None:
    fact = read_log(journal=(127, ""))
    assert not fact.readable
    assert fact.problem


def test_every_sample_folder_is_explained() -> None:
    readme = (SAMPLES / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in ("debian12", "el-standin", "centos7-reconstructed", "made"))
