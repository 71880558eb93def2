"""The benchmark: its entries are whole, and each predicate judges what it says, on settings of every dialect."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from canned import answer, want

from mailhost.checks import benchmark
from mailhost.checks.benchmark.model import VERSIONS
from mailhost.facts import hardening
from mailhost.facts.dovecot import Dovecot
from mailhost.facts.hardening import Hardening
from mailhost.facts.listeners import Listener, Listeners
from mailhost.facts.users import User, Users
from mailhost.families import REDHAT

STOCK = """\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
mail_location = maildir:~/Maildir
passdb {
  driver = pam
}
protocols = imap pop3
ssl = required
userdb {
  driver = passwd
}
"""
FOUND = Dovecot(version="2.3.19.1", valid=True, running=True, config=STOCK)
HARD = Hardening(
    sandbox={"ProtectSystem": "full", "PrivateTmp": "yes", "PrivateDevices": "yes"},
    core_size="0",
    core_pattern="core",
    processes=(("dovecot", 0, "/usr/sbin/dovecot"), ("anvil", 102, "")),
    base="755 root /run/dovecot",
    login="750 root /run/dovecot/login",
    open_sockets=("/run/dovecot/auth-userdb", "/run/dovecot/login/login"),
    shut_sockets=("/var/spool/postfix/private/auth",),
    accounts={
        "default_login_user": "dovenull:x:103:105::/nonexistent:/usr/sbin/nologin",
        "default_internal_user": "dovecot:x:102:104::/usr/lib/dovecot:/usr/sbin/nologin",
    },
    pam={
        "dovecot": ("@include common-auth", "@include common-account"),
        "common-auth": (
            "auth\t[success=1 default=ignore]\tpam_unix.so nullok",
            "auth\trequisite\t\t\tpam_deny.so",
            "auth\trequired\t\t\tpam_permit.so",
        ),
        "other": ("auth required pam_deny.so",),
    },
    log_path="syslog",
    info_log_path="",
    syslog=True,
    updates={},
)
PORTS = Listeners("ss", (Listener("tcp", "192.0.2.7", 993, 1, "dovecot"), Listener("tcp", "127.0.0.1", 24, 1, "lmtp")))
ANNA = User("anna", 1000, 1000, "", "/home/anna", "/bin/sh", 1000, "755", 1000, "700")
PEOPLE = Users(rows=(ANNA,))
OWN = [entry for entry in benchmark.ENTRIES if entry.id]


def statuses(found=FOUND, hard=HARD, ports=PORTS, people=PEOPLE):
    return {f.id: f for f in benchmark.benchmark(found, hard, ports, people, want())}


def broken(found=FOUND, hard=HARD, ports=PORTS, people=PEOPLE):
    return {name for name, finding in statuses(found, hard, ports, people).items() if finding.status == "fail"}


def config(text, version="2.3.19.1"):
    return replace(FOUND, version=version, config=f"{STOCK}{text}\n")


def test_a_stock_server_passes():
    assert {f.status for f in statuses().values()} == {"pass"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("auth_mechanisms = plain login", None),
        ("auth_mechanisms = PLAIN ANONYMOUS", "auth-mechanisms"),
        ("auth_mechanisms {\n  anonymous = yes\n}", "auth-mechanisms"),
        ("auth_mechanisms {\n  anonymous = no\n  login = yes\n}", None),
        ("protocol imap {\n  auth_mechanisms = anonymous\n}", "auth-mechanisms"),
        ("passdb {\n  args = nopassword=y\n  driver = static\n}", "passdb-any-password"),
        ("passdb {\n  args = password=#hidden_use-P_to_show#\n  driver = static\n}", "passdb-any-password"),
        ("passdb static {\n  fields {\n    nopassword = yes\n  }\n}", "passdb-any-password"),
        ("passdb {\n  args = nopassword=y\n  deny = yes\n  driver = static\n}", None),
        ("protocol imap {\n  passdb {\n    args = nopassword=y\n    driver = static\n  }\n}", "passdb-any-password"),
        ("passdb {\n  args = /etc/dovecot/m\n  driver = passwd-file\n  master = yes\n}", "master-users"),
        ("passdb passwd-file {\n  master = yes\n  passwd_file_path = /etc/dovecot/m\n}", "master-users"),
        ("first_valid_uid = 100", "system-users-refused"),
        ("first_valid_uid = 1000", None),
        ("protocol imap {\n  first_valid_uid = 100\n}", "system-users-refused"),
        ("auth_failure_delay = 0", "auth-delay"),
        ("auth_failure_delay = 0 secs", "auth-delay"),
        ("auth_failure_delay = 5 secs", None),
        ("auth_verbose_passwords = sha1", "passwords-not-logged"),
        ("auth_debug_passwords = yes", "passwords-not-logged"),
        *(
            (f"service auth {{\n  unix_listener {name} {{\n{said}  }}\n}}", wanted)
            for name, said, wanted in (
                ("auth-client", "    mode = 0666\n", "auth-sockets"),
                ("/run/own/auth", "    mode = 0666\n", "auth-sockets"),
                ("/var/spool/postfix/private/auth", "    mode = 0666\n", None),
                ("own", "    mode = 0666\n    path = /run/own/auth\n", "auth-sockets"),
                ("auth-userdb", "    mode = 0666\n    user = vmail\n", None),
                ("/run/dovecot/auth-userdb", "    mode = 0666\n", None),
                ("login/own", "    mode = 0666\n", None),
                ("auth-master", "    group = www-data\n    mode = 0660\n", "auth-sockets"),
                ("auth-master", "    group = www-data\n    mode = 0600\n", None),
                ("auth-master", "    group = vmail\n    mode = 0660\n    user = vmail\n", None),
                ("/var/spool/postfix/private/auth", "    group = postfix\n    mode = 0660\n", None),
                ("auth-master", "    group = $default_internal_group\n    mode = 0660\n", None),
                ("auth-userdb", "", None),
                ("stats-writer", "    group = www-data\n", "auth-sockets"),
                ("stats-writer", "    user = vmail\n", None),
            )
        ),
        ("service imap-login {\n  user = root\n}", "login-unprivileged"),
        ("service auth-worker {\n  user = root\n}", None),
        ("service auth {\n  user = root\n}", "services-unprivileged"),
        ("service imap {\n  user = root\n}", "services-unprivileged"),
        ("service auth {\n  unix_listener auth-master {\n    user = root\n  }\n}", None),
        ("mail_uid = root", "services-unprivileged"),
        ("protocol pop3 {\n  mail_uid = 0\n}", "services-unprivileged"),
        ("mail_uid = vmail", None),
        ("userdb {\n  args = uid=root gid=mail home=/m/%u\n  driver = static\n}", "services-unprivileged"),
        ("userdb static {\n  fields {\n    uid = 0\n  }\n}", "services-unprivileged"),
        ("userdb {\n  args = uid=vmail gid=mail home=/m/%u\n  driver = static\n}", None),
        ("default_login_user = root", "login-unprivileged"),
        ("service pop3-login {\n  user = dovecot\n}", "login-unprivileged"),
        ("service imap-login {\n  chroot = \n}", "login-chrooted"),
        ("service imap-login {\n  chroot = login\n}", None),
        ("mail_debug = yes", "debug-off"),
        ("log_debug = category=ssl", "debug-off"),
        ("protocol imap {\n  mail_max_userip_connections = 0\n}", "connections-limited"),
        ("mail_max_userip_connections = 50", None),
        ("default_vsz_limit = unlimited", "memory-limited"),
        ("service imap {\n  vsz_limit = 0\n}", "memory-limited"),
        ("service imap {\n  vsz_limit = unlimited\n}", "memory-limited"),
        ("service imap {\n  vsz_limit = 1 G\n}", None),
        ("default_client_limit = 100", "auth-serves-logins"),
        ("default_process_limit = 400", None),
        ("service imap-login {\n  process_limit = 2000\n}", "auth-serves-logins"),
        ("login_log_format_elements = user=<%u> method=%m", "auth-failures-logged"),
        ("login_log_format_elements = user=<%{user}> rip=%{remote_ip}", None),
    ],
)
def test_settings_are_judged_as_they_are_in_force(text, wanted):
    assert broken(config(text)) == ({wanted} if wanted else set())


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"root_listed": ("/etc/dovecot/users",)}, "root-refused"),
        ({"writable": ("646 root:root /etc/dovecot/dovecot.conf",)}, "conf-writable"),
        ({"secrets": ("/etc/dovecot/dovecot-sql.conf.ext",)}, "secrets-readable"),
        ({"named": ("644 root:root /etc/dovecot/users",)}, "secrets-readable"),
        ({"named": ("640 root:dovecot /etc/dovecot/users",)}, None),
        ({"open_sockets": ("/run/dovecot/auth-client",)}, "auth-sockets"),
        ({"open_sockets": ("/run/dovecot/own-auth",)}, "auth-sockets"),
        ({"login": "755 root /run/dovecot/login"}, "run-dir-protected"),
        ({"base": "777 root /run/dovecot"}, "run-dir-protected"),
        ({"processes": (*HARD.processes, ("pop3-login", 0, ""))}, "login-unprivileged"),
        ({"sandbox": {**HARD.sandbox, "ProtectSystem": "no"}}, "unit-sandboxed"),
        ({"core_size": "unlimited"}, "core-dumps"),
        ({"core_size": "unlimited", "core_pattern": "|/usr/lib/systemd/systemd-coredump"}, None),
        ({"log_path": ""}, "log-kept"),
        ({"syslog": False}, "log-kept"),
        ({"info_log_path": "/dev/null"}, "auth-failures-logged"),
        ({"log_files": ("600 root:root /var/log/dovecot.log",)}, "log-rotates"),
        ({"log_files": ("640 root:adm /var/log/dovecot.log",), "rotated": ("/var/log/dovecot*.log",)}, None),
        ({"log_files": ("644 root:root /var/log/d.log",), "rotated": ("/var/log/*.log",)}, "log-files-private"),
        ({"outdated": ("/usr/sbin/dovecot",)}, "binary-current"),
        ({"updates": {"dovecot-core": "1:2.3.19.1-9"}}, "update-pending"),
    ],
)
def test_what_the_server_is_like_is_judged(change, wanted):
    assert broken(hard=replace(HARD, **change)) == ({wanted} if wanted else set())


@pytest.mark.parametrize(
    ("path", "files", "status"),
    [
        ("/etc/dovecot/users", (), "pass"),
        ("/etc/dovecot/%Ls-users", ("/etc/dovecot/imap-users",), "pass"),
        ("/etc/dovecot/%{protocol}-users", ("/etc/dovecot/imap-users",), "pass"),
        ("/etc/dovecot/%{protocol}-users", ("/etc/dovecot/users",), "unknown"),
        ("/srv/%d/%n", (), "unknown"),
    ],
)
def test_a_password_file_with_a_variable_in_its_name_is_known_where_its_files_are_there(path, files, status):
    hard = replace(HARD, named=tuple(f"640 root:dovecot {file}" for file in files))
    for said in (
        f"passdb {{\n  args = scheme=CRYPT {path}\n  driver = passwd-file\n}}",
        f"passdb passwd-file {{\n  passwd_file_path = {path}\n}}",
    ):
        finding = statuses(config(said), hard)["root-refused"]
        assert finding.status == status
        assert ("without variables" in finding.remedy) == (status == "unknown")


@pytest.mark.parametrize(("deny", "wanted"), [("no", {"passdb-any-password", "root-refused"}), ("yes", set())])
def test_root_and_nopassword_in_a_password_file_are_found_unless_it_lists_people_to_refuse(deny, wanted):
    found = config(f"passdb {{\n  args = /srv/%d/users\n  deny = {deny}\n  driver = passwd-file\n}}")
    files = "named=640 root:dovecot /srv/a.test/users\nfree=/srv/a.test/users\nroot=/srv/a.test/users\n"
    fact = read(files=files)
    hard = replace(HARD, named=fact.named, free_listed=fact.free_listed, root_listed=fact.root_listed)
    assert broken(found, hard) == wanted


# As Red Hat 9 with sssd has it, by way of `auth include password-auth`, and CentOS 7.
SSSD = """auth required pam_env.so
auth required pam_faildelay.so delay=2000000
auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular
auth [default=1 ignore=ignore success=ok] pam_localuser.so
auth sufficient pam_unix.so nullok
auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular
auth sufficient pam_sss.so forward_pass
auth required pam_deny.so"""
EL7 = """auth required pam_env.so
auth sufficient pam_unix.so nullok try_first_pass
auth requisite pam_succeed_if.so uid >= 1000 quiet_success
auth required pam_deny.so"""
LOCKING = """auth required pam_faillock.so preauth silent
auth [success=1 default=bad] pam_unix.so
auth [default=die] pam_faillock.so authfail
auth sufficient pam_faillock.so authsucc
auth required pam_deny.so"""


@pytest.mark.parametrize(
    ("rules", "by"),
    [
        (SSSD, ""),
        (EL7, ""),
        (LOCKING, ""),
        ("auth required pam_nologin.so\nauth include common-auth", ""),
        ("auth requisite pam_succeed_if.so uid >= 1000\nauth substack common-auth", ""),
        ("auth sufficient pam_succeed_if.so user = root\n@include common-auth", "pam_succeed_if.so user = root"),
        ("auth sufficient pam_permit.so\nauth required pam_deny.so", "pam_permit.so"),
        ("auth sufficient pam_rootok.so\n@include common-auth", "pam_rootok.so"),
        ("auth required pam_nologin.so\nauth sufficient pam_unix.so", ""),
        ("auth required pam_env.so\nauth sufficient pam_unix.so", ""),
        ("auth required pam_shells.so\nauth sufficient pam_unix.so", "pam_shells.so"),
        ("auth required pam_faillock.so preauth\nauth sufficient pam_unix.so", "pam_faillock.so"),
        ("auth [success=1 default=ignore] pam_permit.so\nauth requisite pam_deny.so", ""),
        ("auth sufficient pam_unix.so\nauth required pam_permit.so", "pam_permit.so"),
        (
            "auth [success=1 default=ignore] pam_unix.so\nauth optional pam_deny.so\nauth required pam_permit.so",
            "permit",
        ),
        ("auth [success=2 default=ignore] pam_listfile.so file=/x\n@include common-auth", "pam_permit.so"),
        ("auth sufficient pam_unix.so\nauth include dovecot", ""),
    ],
)
def test_rules_of_pam_that_let_in_with_a_wrong_password_are_found(rules, by):
    text = "".join(f"rule=dovecot:{n}:{line}\n" for n, line in enumerate(rules.splitlines(), 1))
    hard = replace(HARD, pam={**HARD.pam, **read(pam=text).pam})
    finding = statuses(hard=hard)["passdb-any-password"]
    assert finding.status == ("fail" if by else "pass")
    assert by in finding.message


@pytest.mark.parametrize("said", ["args = session=yes own", "args = %s", "service_name = own", "args = *"])
def test_the_service_that_a_passdb_names_is_the_one_that_counts(said):
    pam = {"own": ("auth required pam_permit.so",), "imap": ("auth required pam_permit.so",), **HARD.pam}
    found = config(f"passdb {{\n  {said}\n  driver = pam\n}}")
    assert broken(found, replace(HARD, pam=pam)) == {"passdb-any-password"}
    assert broken(found) == set()
    finding = statuses(hard=replace(HARD, pam={}))["passdb-any-password"]
    assert finding.status == "unknown"
    assert "pam_deny" in finding.remedy


def test_uid_0_in_a_section_lets_root_in():
    assert broken(config("protocol imap {\n  first_valid_uid = 0\n}")) == {"root-refused", "system-users-refused"}


def test_a_system_account_with_a_password_is_found_where_dovecot_would_let_it_in():
    fact = read(accounts="default_login_user=dovenull:x:103:105::/:/usr/sbin/nologin\nsystem=build 998\n")
    hard = replace(HARD, system_logins=fact.system_logins)
    assert broken(hard=hard) == {"system-users-refused"}
    assert broken(config("first_valid_uid = 1000"), hard) == set()
    assert broken(config("protocol imap {\n  first_valid_uid = 1000\n}"), hard) == {"system-users-refused"}


@pytest.mark.parametrize("kind", ["default_login_user", "default_internal_user"])
def test_accounts_that_can_log_in_or_are_root_or_the_same_are_found(kind):
    for line in ("a:x:9:9::/:/bin/bash", "root:x:0:0::/root:/sbin/nologin", "b:x:102:1::/:/bin/false"):
        accounts = {**HARD.accounts, kind: line}
        same = kind == "default_internal_user" and line.startswith("b")
        assert broken(hard=replace(HARD, accounts=accounts)) == (set() if same else {"service-accounts"})


def test_other_ports_and_open_maildirs_are_found():
    admin = Listeners("ss", (*PORTS.rows, Listener("tcp6", "::", 24245, 1, "dovecot")))
    assert broken(ports=admin) == {"extra-listeners"}
    other = Listeners("ss", (*PORTS.rows, Listener("tcp", "192.0.2.7", 25, 1, "master")))
    assert broken(ports=other) == set()
    assert broken(people=Users(rows=(replace(ANNA, maildir_mode="755"),))) == {"maildirs-private"}
    assert broken(people=Users(rows=(replace(ANNA, maildir_mode="755", home_mode="700"),))) == set()


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"sandbox": {}}, "unit-sandboxed"),
        ({"core_size": ""}, "core-dumps"),
        ({"base": ""}, "run-dir-protected"),
        ({"accounts": {}}, "service-accounts"),
        ({"log_path": None}, "log-kept"),
        ({"processes": ()}, "binary-current"),
        ({"updates": None, "problem": "no cache"}, "update-pending"),
    ],
)
def test_what_was_not_told_is_unknown_and_never_a_pass(change, wanted):
    finding = statuses(hard=replace(HARD, **change))[wanted]
    assert finding.status == "unknown"
    assert finding.message
    assert finding.remedy


def test_a_packaged_unit_without_a_sandbox_is_left_out_and_one_that_was_opened_is_not():
    plain = {"PrivateTmp": "no"}  # all that systemd 208 knows
    packaged = "PrivateTmp=no\nFragmentPath=/usr/lib/systemd/system/dovecot.service\n"
    for said, status in (
        (packaged, "skip"),
        (packaged + "said=PrivateTmp\n", "fail"),  # a drop-in of the owner's
        (packaged.replace("/usr/lib/", "/etc/"), "fail"),  # a unit of his own
    ):
        fact = read(show=said)
        assert fact.sandbox == plain
        finding = statuses(hard=replace(HARD, sandbox=fact.sandbox, left_open=fact.left_open))["unit-sandboxed"]
        assert finding.status == status, said
        assert finding.message
    assert statuses(hard=replace(HARD, sandbox={"PrivateTmp": "yes"}))["unit-sandboxed"].status == "pass"
    # the unit of 2.2.36: PrivateTmp=true, and a comment where ProtectSystem might stand
    fact = read(
        show="ProtectSystem=no\nPrivateTmp=yes\nPrivateDevices=no\nsaid=PrivateTmp\n"
        "FragmentPath=/usr/lib/systemd/system/dovecot.service\n"
    )
    hard = replace(HARD, sandbox=fact.sandbox, left_open=fact.left_open)
    assert statuses(hard=hard)["unit-sandboxed"].status == "skip"


def test_without_dovecot_or_with_a_broken_configuration_nothing_is_judged():
    for found in (Dovecot(), replace(FOUND, valid=False)):
        assert {f.status for f in statuses(found).values()} == {"skip"}


def test_entries_are_whole_and_numbered_in_order():
    numbers = [entry.number for entry in benchmark.ENTRIES]
    assert len(set(numbers)) == len(numbers)
    for chapter, (_, entries) in enumerate(benchmark.CHAPTERS, 1):
        assert [entry.number for entry in entries] == [f"{chapter}.{n}" for n in range(1, len(entries) + 1)]
    for entry in benchmark.ENTRIES:
        assert bool(entry.id) == bool(entry.judge) != bool(entry.measured_by), entry.number
        assert all((entry.title, entry.why, entry.measured, entry.remedy, entry.source)), entry.number
        assert set(entry.spelled or VERSIONS) == set(VERSIONS), entry.number
    assert len(OWN) == len({entry.id for entry in OWN}) >= 20


def test_the_remedy_is_in_the_words_of_the_servers_dovecot():
    (entry,) = [entry for entry in benchmark.ENTRIES if entry.number == "1.1"]
    assert "auth_allow_cleartext" in entry.remedy_for("2.4.1")
    assert "disable_plaintext_auth" in entry.remedy_for("2.3.19.1")
    assert entry.remedy_for(None) == entry.remedy


def test_the_table_shows_every_number_with_the_worst_of_its_findings():
    rows = {row["check"]: row for row in benchmark.table(statuses(config("auth_failure_delay = 0")).values())}
    assert len(rows) == len(benchmark.ENTRIES)
    assert rows["DOV-1.10"]["status"] == "fail"
    assert rows["DOV-1.4"]["status"] == "pass"
    assert rows["DOV-2.1"]["status"] == "-"


def read(**said):
    told = {
        "show": "ProtectSystem=full\n",
        "processes": "core=0\npattern=core\nname=dovecot\nuid=0\nexe=/usr/sbin/dovecot (deleted)\n"
        "gone=/usr/lib/x86_64-linux-gnu/libssl.so.3\nname=anvil\nuid=102\nexe=\n",
        "files": "",
        "sockets": "",
        "accounts": "default_login_user=dovenull:x:103:105::/:/usr/sbin/nologin\n",
        "pam": "",
        "logs": 'log_path=syslog\ninfo_log_path=\nrotates=/var/log/a.log "/var/log/b b.log"\n',
        "update": "known=yes\n",
    }
    return answer(hardening.query, **told | said)


def test_what_the_server_says_is_read():
    fact = read(update="update=dovecot-core 1:2.3-9\nknown=yes\n")
    assert fact.processes == (("dovecot", 0, "/usr/sbin/dovecot (deleted)"), ("anvil", 102, ""))
    assert fact.outdated == ("/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/sbin/dovecot")
    assert (fact.log_path, fact.info_log_path, fact.syslog) == ("syslog", "", False)
    assert fact.updates == {"dovecot-core": "1:2.3-9"}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ((0, "Available Upgrades\ndovecot.x86_64  1:2.3.16-12.el9  appstream\n"), {"dovecot": "1:2.3.16-12.el9"}),
        ((1, "", "Error: No matching Packages to list\n"), {}),
        ((0, ""), {}),
        ((1, "", "Error: Cache-only enabled but no cache for 'appstream'\n"), None),
    ],
)
def test_updates_of_dnf_are_read_and_a_missing_cache_is_not_known(said, wanted):
    commands = hardening.query.commands(want(), REDHAT)
    fact = answer(hardening.query, REDHAT, **dict.fromkeys(commands, "") | {"update": said})
    assert fact.updates == wanted
    assert bool(fact.problem) == (wanted is None)


def test_apt_without_lists_is_not_known_and_the_remedy_is_to_fetch_them():
    fact = read(update=(0, "", "apt has no lists in /var/lib/apt/lists/\n"))
    assert fact.updates is None
    finding = statuses(hard=replace(HARD, updates=fact.updates, problem=fact.problem))["update-pending"]
    assert finding.status == "unknown"
    assert "no lists" in finding.message
    assert "apt-get update" in finding.remedy


def test_no_number_stands_twice_in_the_remedies():
    assert not [entry.number for entry in OWN if re.search(r"DOV-\d", entry.remedy)]
