"""A configured server, broken in exactly one way: the finding for it says fail and what to do, and no other changes.

One row for each finding. What a container cannot be broken by (its clock, its memory, its kernel) is captured: the
row names the test that judges captured output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailhost import sheet
from runbook import lab, running, sections, servers
from runbook import record as records

USER, PASSWORD = "anna", "Apfel-7!$x"
LOCAL = "/etc/dovecot/local.conf"  # read last of all, as an owner's own settings are
RELOAD = "doveadm reload && sleep 0.3"
RESTART = "systemctl reset-failed dovecot; systemctl restart dovecot && sleep 0.5"
UNLOCAL = f"rm -f {LOCAL}; {RESTART}"
AUDIT, PREFLIGHT = "06_audit", "01_preflight"

# What nobody can judge where no TLS comes about, or another certificate is served.
SERVED = (
    *("served-certificate", "served-chain", "served-verified", "served-names", "served-dates", "served-strength"),
    *("tls-version", "tls-old-versions", "tls-ciphers", "tls-key-exchange"),
)
LOGINS = (
    "login-accepted",
    "cleartext-refused",
    "wrong-password-refused",
    "unknown-user-refused",
    "expired-account-refused",
)
STARTTLS = ("starttls-injection", "starttls-state")
DIALOGUES = (
    "greeting",
    "capabilities-cleartext",
    "capabilities-tls",
    *STARTTLS,
    "login-accepted",
    "cleartext-refused",
)
# Where they are trusted, a client in the lab's own networks may log in in clear.
LAB = "10.89.0.0/16 fd00:89::/32"
LET_IN = ("cleartext-refused", "capabilities-cleartext", "starttls-state")
GONE = ("tls-handshake", "port-open", "listeners", *SERVED, *DIALOGUES)


def local(text: str) -> str:
    """Settings of an owner's own, which override ours."""
    return f"cat >{LOCAL} <<'EOF'\n{text}\nEOF\n{RESTART}"


def soft(text: str, before: str = "") -> str:
    """The same where a reload is enough; ``before`` makes ready what the settings name."""
    return f"{before}cat >{LOCAL} <<'EOF'\n{text}\nEOF\n{RELOAD}"


UNSOFT = f"rm -f {LOCAL}; {RELOAD}"


# Our part for TLS taken out of the drop-in: Debian's own certificate and settings are in force.
NOT_OURS = (
    *("cleartext-refused", "drop-in-as-written", "login-accepted", "settings-effective"),
    *("served-certificate", "served-chain", "served-verified", "served-names"),
)
# All that section 05 judges once its changes may be made.
SECURED = (
    *("certificate-installed", "configuration-valid", "drop-in-as-written", "key-file-protected", "listeners"),
    *("log-errors", "log-warnings", "mail-stored-and-read", "port-open", "settings-effective", "tls-handshake"),
    *("trusted-networks", "unit-active", "certificate-dates"),
    *SERVED, *LOGINS, *DIALOGUES,
)  # fmt: skip
GIVEN = (
    "certificate-given",
    "certificate-names",
    "certificate-strength",
    "chain-complete",
    "key-matches",
    "key-readable",
)

# A certificate that is not the sheet's.
OTHER = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=other "
    "-keyout /root/other.key -out /root/other.crt 2>/dev/null\n"
)

# Where control groups tell systemd nothing, as in these containers, a unit that stops waits for its TimeoutStopSec.
UNIT = "systemd-run -q --collect -p TimeoutStopSec=1"

# Dovecot's own way to write a line of each level, to a log of the owner's choice, for as long as the judging takes.
NOISE = (
    local("log_path = /var/log/dovecot-own.log")
    + f"\n{UNIT} --unit=noise sh -c 'while :; do doveadm log test; sleep 0.5; done'"
)


@dataclass(frozen=True)
class Row:
    """One way to break a server.

    id        the finding that must change, to ``status``
    breaks, mends   scripts for the server's own shell, past SSH; $name $crt $key are set
    also      findings that change with it
    judge     the section that judges it, in ``mode``
    sheet     what is another in the sheet; None takes the key out
    issue     the certificate that the sheet, or the server (``serve``), gets instead
    stale     its files are both the sheet's and the server's, and Dovecot has not read them yet
    kept      the sheet says that an ACME client keeps the certificate, where it lies already
    captured  file and name of the test of captured output, where a container cannot be broken so
    """

    id: str
    breaks: str = ""
    mends: str = ""
    also: tuple[str, ...] = ()
    judge: str = AUDIT
    mode: str = "plan"
    status: str = "fail"
    says: str = ""
    sheet: dict[str, Any] = field(default_factory=dict)
    issue: dict[str, Any] | None = None
    serve: bool = False
    stale: bool = False
    kept: bool = False
    canary: bool = False
    systems: tuple[str, ...] = ("debian12",)
    captured: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.id if not self.says else f"{self.id}-{self.says}".replace(" ", "-")

    @property
    def breakage(self) -> str:
        """What is done to the server and how it is judged: rows that have it in common are judged by one look."""
        return repr(replace(self, id="", status="", says="", also=(), systems=(), captured=()))


def busy(system: str) -> str:
    """Keep login processes for the next connection, as owners of busy servers do, installed or not yet.

    Else each of the two hundred connections of an audit costs a process of its own.
    """
    kept = "restart_request_count = unlimited" if system == "debian13" else "service_count = 0"
    block = f"service %s {{\\n  {kept}\\n}}\\n"
    folder = "/etc/dovecot/conf.d"
    return (
        f"mkdir -p {folder}; printf '{block}' imap-login pop3-login >{folder}/15-own.conf; "
        f"if pidof dovecot >/dev/null; then {RELOAD}; fi"
    )


BOTH = ("debian12", "el")
ALL = (*BOTH, "debian13")  # what is spelled the same in every dialect
FIREWALLED = ("el",)  # these Debian servers have none
# What the benchmark judges by settings is skipped while Dovecot refuses its configuration.
HARDENED = (
    "auth-mechanisms", "passdb-any-password", "root-refused", "system-users-refused", "master-users", "auth-delay",
    "passwords-not-logged", "extra-listeners", "conf-writable", "secrets-readable", "auth-sockets", "run-dir-protected",
    "maildirs-private", "login-unprivileged", "services-unprivileged", "login-chrooted", "service-accounts",
    "unit-sandboxed", "core-dumps", "log-kept", "auth-failures-logged", "debug-off", "log-rotates", "log-files-private",
    "connections-limited", "memory-limited", "auth-serves-logins", "binary-current", "update-pending",
)  # fmt: skip
FAILING = {"failed_logins": 4}
FACTS = "mailhost/checks/test_broken_facts.py"

ROWS = (
    # ---- the server
    Row("os-supported", captured=(FACTS, "test_os_supported_fails_for_an_unknown_distribution_and_for_an_old_systemd")),
    Row("memory-available", captured=(FACTS, "test_memory_available_fails_when_little_is_left")),
    Row("selinux-tools", captured=(FACTS, "test_selinux_tools_fails_where_selinux_enforces_and_restorecon_is_missing")),
    Row(
        "selinux-label",
        captured=(
            "mailhost/checks/test_policies.py",
            "test_selinux_label_fails_for_a_key_that_was_moved_there_and_for_a_maildir_without_one",
        ),
    ),
    Row(
        "disk-space", captured=(FACTS, "test_disk_space_fails_without_room_or_inodes_and_is_unknown_for_a_stale_mount")
    ),
    Row("clock-offset", captured=(FACTS, "test_clock_offset_fails_over_a_minute")),
    # no lab server breaks a proof so that it cannot be made and the connection still holds
    Row("change-proven", captured=("runbook/test_acting.py", "test_a_proof_that_cannot_be_made_proves_nothing")),
    # nor is there a Dovecot that answers what came with STARTTLS
    Row(
        "starttls-injection",
        captured=("mailhost/probes/test_starttls.py", "test_a_command_that_came_in_clear_is_answered_under_tls"),
    ),
    Row("clock-synchronised", sheet={"time_sync": "required"}, judge=PREFLIGHT),
    Row("ipv6-usable", sheet={"listen": ["*", "2001:db8::25"]}, judge=PREFLIGHT),
    Row(
        "names-resolve",
        sheet={"mail_names": ["nowhere.example.test"]},
        also=("certificate-names", "addresses-proven"),
        judge=PREFLIGHT,
    ),
    Row(
        "addresses-proven",
        "ip addr add 10.89.255.7/32 dev eth0",
        "ip addr del 10.89.255.7/32 dev eth0",
        judge=PREFLIGHT,
        status="skip",
    ),
    Row(
        "package-candidate",
        "dpkg --force-depends --remove dovecot-pop3d >/dev/null 2>&1; mv /var/lib/apt/lists /root/lists; "
        "mv /etc/apt/sources.list /root/; mv /etc/apt/sources.list.d /root/; mkdir /etc/apt/sources.list.d",
        "rmdir /etc/apt/sources.list.d; mv /root/sources.list.d /root/sources.list /etc/apt/ 2>/dev/null; "
        "rm -rf /var/lib/apt/lists; mv /root/lists /var/lib/apt/; "
        f"apt-get -q -y install dovecot-pop3d >/dev/null 2>&1; {RESTART}",
        judge=PREFLIGHT,
    ),
    Row(
        "dovecot-version-known",
        # a stand-in that only tells another version
        "printf '#!/bin/sh\\necho 2.5.0\\n' >/usr/local/sbin/dovecot; chmod 0755 /usr/local/sbin/dovecot",
        "rm /usr/local/sbin/dovecot",
        also=("overridden-later", "sheet-expressible"),  # neither can be judged without the version's language
        judge=PREFLIGHT,
    ),
    Row(
        "mail-ports-free",
        f"systemctl stop dovecot; {UNIT} --unit=intruder systemd-socket-activate -l 143 /bin/cat; sleep 0.5",
        f"systemctl stop intruder; {RESTART}",
        judge=PREFLIGHT,
        systems=BOTH,
    ),
    Row(
        "mta-delivers-to-maildir",
        # a stand-in for Postfix as its package leaves it
        "printf '#!/bin/sh\\nfor n; do echo \"$n = \"; done\\n' >/usr/local/sbin/postconf; "
        "chmod 0755 /usr/local/sbin/postconf",
        "rm /usr/local/sbin/postconf",
    ),
    Row(
        "ban-limit",
        # a stand-in for fail2ban with a jail for Dovecot
        'printf \'#!/bin/sh\\ncase $1 in status) echo "Jail list: dovecot";; get) case $3 in maxretry) echo 3;; '
        "findtime) echo 600;; esac;; esac\\n' >/usr/local/sbin/fail2ban-client; "
        f"chmod 0755 /usr/local/sbin/fail2ban-client; {UNIT} --unit=fail2ban sleep 600",
        "systemctl stop fail2ban; rm /usr/local/sbin/fail2ban-client",
        sheet=FAILING,
    ),
    # ---- users
    Row("users-homes", "useradd -m ben; rm -r /home/ben", "userdel ben", systems=BOTH),
    Row("mbox-mail", f"echo mail >/var/mail/{USER}; chown {USER} /var/mail/{USER}", f": >/var/mail/{USER}"),
    Row(
        "login-blocked",
        "cp -p /etc/pam.d/dovecot /root/pam; touch /etc/nologin; "
        "grep -q pam_nologin /etc/pam.d/dovecot || echo 'account required pam_nologin.so' >>/etc/pam.d/dovecot",
        "mv /root/pam /etc/pam.d/dovecot; rm /etc/nologin",
        also=("login-accepted", "cleartext-refused", "log-errors", "log-warnings"),
        systems=BOTH,
    ),
    Row(
        "leftover-accounts",
        "useradd -M -c 'dovecot-runbook temporary account' rbk-0badcafe",
        "userdel rbk-0badcafe",
    ),
    # ---- package and unit
    Row(
        "packages-installed",
        "dpkg --force-depends --remove dovecot-pop3d >/dev/null 2>&1 || :",
        f"apt-get -q -y install dovecot-pop3d >/dev/null 2>&1; {RESTART}",
        also=(
            "configuration-path",
            "configuration-valid",
            "settings-effective",
            "drop-in-as-written",
            "trusted-networks",
            "unit-active",
            "log-errors",
            *HARDENED,
            *GONE,
        ),
    ),
    Row("unit-enabled", "systemctl disable dovecot", "systemctl enable dovecot", systems=ALL),
    Row("unit-active", "systemctl stop dovecot", RESTART, also=GONE, systems=ALL),
    # ---- configuration
    Row(
        "configuration-valid",
        f"echo 'no_such_setting = yes' >{LOCAL}",
        f"rm {LOCAL}",
        also=("configuration-path", "settings-effective", "trusted-networks", "log-errors", *HARDENED),
        systems=BOTH,
    ),
    Row(
        "settings-effective",
        local("ssl_min_protocol = TLSv1.3"),
        UNLOCAL,
        systems=ALL,
    ),
    Row(
        "drop-in-as-written",
        'echo "# mine" >>"$dropin"',
        f"sed -i '$d' \"$dropin\"; {RESTART}",  # a file that is newer than the process asks for a restart
        systems=ALL,
    ),
    Row("trusted-networks", local(f"login_trusted_networks = {LAB}"), UNLOCAL, also=LET_IN),
    Row(
        "trusted-networks",
        local(f"login_trusted_networks = {LAB}") + "\necho '# mine' >>\"$dropin\"",
        f"sed -i '/^# mine$/d' \"$dropin\"; {UNLOCAL}",
        says="while a change is planned",
        also=("drop-in-as-written", *LET_IN),
        judge="05_secure",
    ),
    # ---- a Dovecot that was there before us
    Row("overridden-later", local("ssl_min_protocol = TLSv1.3"), UNLOCAL, judge=PREFLIGHT),
    Row("sheet-expressible", sheet={"maildir": "~/Mail:dir"}, judge=PREFLIGHT),
    Row(
        "guide-chain-in-ssl-ca",
        # our own part for TLS would make up for it
        f'sed -i \'/^# --- tls/,$d\' "$dropin"; echo "ssl_ca = <$crt" >{LOCAL}; {RESTART}',
        f'cp -p /root/kept/99-dovecot-runbook.conf "$dropin"; {UNLOCAL}',
        also=NOT_OURS,
    ),
    Row(
        "guide-auth-file-path",
        "sed -i '/^# --- tls/,$d' \"$dropin\"; echo 'disable_plaintext_auth = yes' >/etc/dovecot/10-auth.conf; "
        f"{RESTART}",
        f'cp -p /root/kept/99-dovecot-runbook.conf "$dropin"; rm /etc/dovecot/10-auth.conf; {RESTART}',
        also=NOT_OURS,
    ),
    Row(
        "configuration-path",
        # a stand-in for one that was built by hand
        'printf \'#!/bin/sh\n/usr/bin/doveconf "$@" | sed "1s|/etc/|/usr/local/etc/|"\n\' '
        ">/usr/local/sbin/doveconf; chmod 0755 /usr/local/sbin/doveconf",
        "rm /usr/local/sbin/doveconf",
        judge=PREFLIGHT,
    ),
    Row(
        "other-instance",
        "mkdir -p /etc/second; printf 'base_dir = /run/second\\ninstance_name = second\\nprotocols =\\nssl = no\\n' "
        ">/etc/second/dovecot.conf; dovecot -c /etc/second/dovecot.conf; sleep 1",
        "doveadm -c /etc/second/dovecot.conf stop; sleep 1; doveadm instance remove second; rm -r /etc/second",
        status="skip",
    ),
    Row(
        "upgrade-ready",
        # a stand-in that offers what the next Debian has
        "printf '#!/bin/sh\\necho dovecot-core:; echo \"  Candidate: 1:2.4.1+dfsg1-6\"\\n' >/usr/local/sbin/apt-cache; "
        "chmod 0755 /usr/local/sbin/apt-cache",
        "rm /usr/local/sbin/apt-cache",
        also=("update-pending",),
    ),
    # ---- the benchmark
    Row(
        "auth-mechanisms",
        soft("auth_mechanisms = plain anonymous"),
        UNSOFT,
        also=("capabilities-cleartext", "capabilities-tls"),
    ),
    Row(
        "passdb-any-password",
        soft("passdb {\n  driver = static\n  args = nopassword=y\n  username_filter = ghost*\n}"),
        UNSOFT,
    ),
    Row(
        "passdb-any-password",
        "cp -p /etc/pam.d/dovecot /root/pam; sed -i '1i auth sufficient pam_succeed_if.so user = root' "
        "/etc/pam.d/dovecot; "
        + soft(
            "passdb {\n  driver = passwd-file\n  args = /etc/dovecot/%s-users\n}",
            "echo 'ghost:::::::nopassword' >/etc/dovecot/imap-users; chown root:dovecot /etc/dovecot/imap-users; "
            "chmod 0640 /etc/dovecot/imap-users\n",
        ),
        f"mv /root/pam /etc/pam.d/dovecot; rm /etc/dovecot/imap-users; {UNSOFT}",
        says="by PAM and by a line of a file",
    ),
    Row(
        "root-refused",
        soft(
            "passdb {\n  driver = passwd-file\n  args = /etc/dovecot/users\n}",
            "echo 'root:{SSHA256}none:::::' >/etc/dovecot/users; chown root:dovecot /etc/dovecot/users; "
            "chmod 0640 /etc/dovecot/users\n",
        ),
        f"rm /etc/dovecot/users; {UNSOFT}",
    ),
    Row("system-users-refused", soft("first_valid_uid = 100"), UNSOFT),
    Row(
        "system-users-refused",
        "useradd -r -u 898 build; echo 'build:a-Password-7' | chpasswd; useradd -r -u 897 locked",
        "userdel build; userdel locked",
        says="an account of the system with a password",
    ),
    Row(
        "master-users",
        soft(
            "auth_master_user_separator = *\n"
            "passdb {\n  driver = passwd-file\n  args = /etc/dovecot/masters\n  master = yes\n}",
            "echo 'chief:{SSHA256}none:::::' >/etc/dovecot/masters; chown root:dovecot /etc/dovecot/masters; "
            "chmod 0640 /etc/dovecot/masters\n",
        ),
        f"rm /etc/dovecot/masters; {UNSOFT}",
    ),
    Row("auth-delay", soft("auth_failure_delay = 0"), UNSOFT),
    Row("passwords-not-logged", soft("auth_verbose_passwords = plain"), UNSOFT),
    Row("extra-listeners", soft("service doveadm {\n  inet_listener {\n    port = 24245\n  }\n}"), UNSOFT),
    Row(
        "conf-writable",
        "chmod o+w /etc/dovecot/conf.d/10-mail.conf",
        "chmod o-w /etc/dovecot/conf.d/10-mail.conf",
    ),
    Row(
        "conf-writable",
        "ln -s /nowhere /etc/dovecot/gone; touch /etc/dovecot/masters; chown www-data /etc/dovecot/masters; "
        "chmod 0600 /etc/dovecot/masters",
        "rm /etc/dovecot/gone /etc/dovecot/masters",
        says="a file of passwords that a web server owns",
    ),
    Row(
        "secrets-readable",
        "echo 'connect = host=localhost user=mail password=secret' >/etc/dovecot/own-sql.conf.ext; "
        "chmod 0644 /etc/dovecot/own-sql.conf.ext",
        "rm /etc/dovecot/own-sql.conf.ext",
    ),
    Row("auth-sockets", "chmod 0666 /run/dovecot/auth-master", "chmod 0600 /run/dovecot/auth-master"),
    Row(
        "auth-sockets",
        soft(
            "service auth {\n  unix_listener /run/own/auth {\n    mode = 0666\n  }\n  unix_listener auth-client {\n"
            "    mode = 0660\n    group = www-data\n  }\n}",
            "mkdir -p /run/own\n",
        ),
        f"{UNSOFT}; rm -r /run/own",
        says="elsewhere and for a web server",
    ),
    Row("run-dir-protected", "chmod 0755 /run/dovecot/login", "chmod 0750 /run/dovecot/login"),
    Row(
        "maildirs-private",
        f"chmod 0755 /home/{USER}; mkdir -p /home/{USER}/Maildir; chown {USER}: /home/{USER}/Maildir; "
        f"chmod 0755 /home/{USER}/Maildir",
        f"chmod 0700 /home/{USER}/Maildir",
    ),
    # Dovecot itself refuses to run those of its protocols so
    Row("login-unprivileged", soft("service submission-login {\n  user = root\n}"), UNSOFT),
    Row("services-unprivileged", soft("service auth {\n  user = root\n}\nservice imap {\n  user = root\n}"), UNSOFT),
    Row("login-chrooted", soft("service pop3-login {\n  chroot =\n}"), UNSOFT),
    Row("service-accounts", "usermod -s /bin/sh dovenull", "usermod -s /usr/sbin/nologin dovenull"),
    Row(
        "unit-sandboxed",
        "mkdir -p /etc/systemd/system/dovecot.service.d; "
        "printf '[Service]\\nPrivateTmp=no\\n' >/etc/systemd/system/dovecot.service.d/open.conf; "
        "systemctl daemon-reload",
        "rm /etc/systemd/system/dovecot.service.d/open.conf; systemctl daemon-reload",
    ),
    Row(
        "core-dumps",
        "prlimit --pid $(systemctl show -p MainPID dovecot | sed 's/.*=//') --core=unlimited",
        "prlimit --pid $(systemctl show -p MainPID dovecot | sed 's/.*=//') --core=0:unlimited",
    ),
    Row("log-kept", soft("log_path = /dev/null"), UNSOFT),
    Row("auth-failures-logged", soft("info_log_path = /dev/null"), UNSOFT),
    Row("debug-off", soft("auth_debug = yes"), UNSOFT),
    Row("log-rotates", soft("log_path = /var/log/dovecot-own.log"), f"{UNSOFT}; rm -f /var/log/dovecot-own.log"),
    Row(
        "log-files-private",
        # the log of debugging is one of them, where it has a file of its own
        soft(
            "debug_log_path = /var/log/dovecot-own.log",
            "echo '/var/log/dovecot*.log {}' >/etc/logrotate.d/own; touch /var/log/dovecot-own.log; "
            "chmod 0644 /var/log/dovecot-own.log\n",
        ),
        f"{UNSOFT}; rm -f /var/log/dovecot-own.log /etc/logrotate.d/own",
    ),
    Row("connections-limited", soft("mail_max_userip_connections = 0"), UNSOFT),
    Row("memory-limited", soft("default_vsz_limit = 0"), UNSOFT),
    Row("auth-serves-logins", soft("service auth {\n  client_limit = 150\n}"), UNSOFT),
    Row(
        "binary-current",
        "cp -p /usr/sbin/dovecot /usr/sbin/dovecot.new; mv /usr/sbin/dovecot.new /usr/sbin/dovecot",
        RESTART,
        systems=ALL,
    ),
    Row(
        "update-pending",
        # a stand-in that offers a newer one
        'printf \'#!/bin/sh\\necho dovecot-core:; echo "  Installed: 1:2.3.19.1+dfsg1-2.1"; '
        'echo "  Candidate: 1:2.3.19.1+dfsg1-2.1+deb12u99"\\n\' >/usr/local/sbin/apt-cache; '
        "chmod 0755 /usr/local/sbin/apt-cache",
        "rm /usr/local/sbin/apt-cache",
    ),
    Row(
        "update-pending",
        "mv /var/lib/apt/lists /root/lists; mkdir /var/lib/apt/lists",
        "rm -r /var/lib/apt/lists; mv /root/lists /var/lib/apt/",
        status="unknown",
        says="no lists",
        also=("upgrade-ready",),
    ),
    # ---- listeners and firewall
    Row(
        "listeners",
        local("service pop3-login {\n  inet_listener pop3s {\n    port = 0\n  }\n}"),
        UNLOCAL,
        also=("port-open", "tls-handshake", "greeting", "capabilities-tls", "login-accepted", *SERVED),
    ),
    Row(
        "firewall-known",
        "systemctl stop firewalld",
        "systemctl start firewalld",
        also=("firewall-rules", "firewall-permanent"),
        systems=FIREWALLED,
    ),
    Row(
        "firewall-rules",
        "firewall-cmd -q --remove-service=pop3s; firewall-cmd -q --remove-port=995/tcp",
        "firewall-cmd -q --reload",
        also=("port-open", "tls-handshake", "greeting", "capabilities-tls", "login-accepted", *SERVED),
        systems=FIREWALLED,
    ),
    Row(
        "firewall-permanent",
        "firewall-cmd -q --permanent --remove-service=pop3s; firewall-cmd -q --permanent --remove-port=995/tcp",
        "firewall-cmd -q --runtime-to-permanent",
        systems=FIREWALLED,
    ),
    Row(
        "port-open",
        "firewall-cmd -q --add-rich-rule='rule port port=995 protocol=tcp reject'",
        "firewall-cmd -q --reload",
        also=("firewall-rules", "tls-handshake", "greeting", "capabilities-tls", "login-accepted", *SERVED),
        systems=FIREWALLED,
    ),
    Row(
        "port-closed",
        sheet={"firewall": {"pop3": "closed", "imap": "open"}},
        also=(
            "firewall-rules",
            "firewall-permanent",
            "tls-handshake",
            *DIALOGUES,
            *SERVED,
        ),
        systems=FIREWALLED,
    ),
    # ---- what clients are told
    Row(
        "greeting",
        local(
            "service pop3-login {\n  inet_listener pop3 {\n    port = 0\n  }\n}\n"
            "service imap-login {\n  inet_listener odd {\n    port = 110\n  }\n}"
        ),
        UNLOCAL,
        also=("tls-handshake", *DIALOGUES, *SERVED),
    ),
    Row("capabilities-tls", local("protocol imap {\n  imap_capability = +LOGINDISABLED\n}"), UNLOCAL),
    Row(
        "capabilities-cleartext",
        local("ssl = yes\ndisable_plaintext_auth = no"),
        UNLOCAL,
        also=("settings-effective", "cleartext-refused", "starttls-state", "log-warnings"),
        systems=BOTH,
    ),
    Row(
        "cleartext-refused",
        local("ssl = yes\ndisable_plaintext_auth = no"),
        UNLOCAL,
        also=("settings-effective", "capabilities-cleartext", "starttls-state", "log-warnings"),
        systems=BOTH,
    ),
    Row(
        "starttls-state",
        # POP3 remembers the user that was named in clear
        local("ssl = yes\ndisable_plaintext_auth = no"),
        UNLOCAL,
        also=("settings-effective", "capabilities-cleartext", "cleartext-refused", "log-warnings"),
    ),
    Row(
        "login-accepted",
        f"mv /home/{USER}/Maildir /root/kept-maildir; mkdir /home/{USER}/Maildir; chmod 0700 /home/{USER}/Maildir",
        f"rm -r /home/{USER}/Maildir; mv /root/kept-maildir /home/{USER}/Maildir",
        also=("cleartext-refused", "log-errors", "users-homes"),
        systems=BOTH,
    ),
    Row(
        "mail-stored-and-read",
        local("protocol pop3 {\n  mail_location = maildir:~/Other\n}"),
        f"rm -rf /home/{USER}/Other; {UNLOCAL}",
        also=("settings-effective",),
        judge="05_secure",
    ),
    Row(
        "wrong-password-refused",
        local("passdb {\n  driver = static\n  args = nopassword=y\n}"),
        UNLOCAL,
        also=("unknown-user-refused", "log-errors", "log-warnings"),
        sheet=FAILING,
        judge="05_secure",
    ),
    Row(
        "unknown-user-refused",
        local(
            "passdb {\n  driver = static\n  args = nopassword=y\n}\n"
            f"userdb {{\n  driver = static\n  args = uid={USER} gid={USER} home=/home/{USER} allow_all_users=yes\n}}"
        ),
        UNLOCAL,
        also=("wrong-password-refused", "passdb-any-password", "log-errors", "log-warnings"),
        sheet=FAILING,
    ),
    Row(
        "expired-account-refused",
        # PAM without its account phase
        "cp -p /etc/pam.d/dovecot /root/pam; sed -i 's/^@include common-account/account required pam_permit.so/; "
        "s/^account .*password-auth.*/account required pam_permit.so/' /etc/pam.d/dovecot",
        "mv /root/pam /etc/pam.d/dovecot",
        sheet=FAILING,
        canary=True,
        systems=BOTH,
    ),
    Row(
        "log-errors",
        NOISE,
        f"systemctl stop noise; {UNLOCAL}",
        also=("log-warnings", "log-rotates"),
    ),
    Row(
        "log-warnings",
        NOISE,
        f"systemctl stop noise; {UNLOCAL}",
        also=("log-errors", "log-rotates"),
    ),
    # ---- certificate files on the server, and what is served
    Row(
        "crypto-policy",
        "mkdir -p /etc/crypto-policies/state; echo LEGACY >/etc/crypto-policies/state/current",
        "rm -r /etc/crypto-policies",
        systems=("el",),
    ),
    Row("certificate-installed", 'echo >>"$crt"', "sed -i '$d' \"$crt\"", systems=ALL),
    Row("renewal-hook", kept=True, systems=BOTH),
    Row("key-file-protected", 'chmod 0644 "$key"', 'chmod 0600 "$key"', systems=ALL),
    Row(
        "tls-handshake",
        issue={"only": "key"},
        serve=True,
        systems=ALL,
        also=(
            "certificate-installed",
            "configuration-valid",
            "login-accepted",
            "cleartext-refused",
            "greeting",
            "capabilities-tls",
            *STARTTLS,
            "log-errors",
            *SERVED,
        ),
    ),
    Row(
        "tls-version",
        sheet={"tls": {"minimum": "TLSv1.3"}},
        breaks=(
            "cp /etc/ssl/openssl.cnf /root/openssl.cnf; printf '[openssl_init]\\nssl_conf = t\\n[t]\\n"
            "system_default = u\\n[u]\\nMaxProtocol = TLSv1.2\\n' >>/etc/ssl/openssl.cnf; " + RESTART
        ),
        mends=f"mv /root/openssl.cnf /etc/ssl/openssl.cnf; {RESTART}",
        also=("settings-effective", "drop-in-as-written", "tls-old-versions"),  # 1.2 is too old for that sheet
    ),
    Row(
        "tls-old-versions",
        # OpenSSL 3 speaks TLS 1.0 at security level 0 only
        local("ssl_min_protocol = TLSv1\nssl_cipher_list = DEFAULT@SECLEVEL=0"),
        UNLOCAL,
        also=("settings-effective",),
    ),
    Row("tls-ciphers", local("ssl_cipher_list = ALL:eNULL:@SECLEVEL=0"), UNLOCAL),
    Row(
        "tls-key-exchange",
        local("ssl_curve_list = X25519:P-256:secp192r1\nssl_cipher_list = DEFAULT@SECLEVEL=0"),
        UNLOCAL,
    ),
    Row(
        "served-strength",
        # Debian's OpenSSL would not even load such a certificate
        local("ssl_cipher_list = DEFAULT:!kRSA:@SECLEVEL=0"),
        UNLOCAL,
        issue={"key": "rsa1024"},
        serve=True,
        also=("certificate-installed", "served-certificate", "served-verified", "login-accepted", "cleartext-refused"),
    ),
    Row("served-certificate", issue={}, serve=True, also=("certificate-installed",), systems=BOTH),
    Row(
        "served-certificate",
        OTHER + local("protocol pop3 {\n  ssl_cert = </root/other.crt\n  ssl_key = </root/other.key\n}"),
        f"rm /root/other.*; {UNLOCAL}",
        says="on 995 another than on 993",
        also=("settings-effective", "served-chain", "served-verified", "served-names", "login-accepted"),
    ),
    Row(
        "served-certificate",
        OTHER
        + local("local_name NAME {\n  ssl_cert = </root/other.crt\n  ssl_key = </root/other.key\n}").replace(
            "\nEOF\n", f'\nEOF\nsed -i "s/NAME/$name.{lab.DOMAIN}/" {LOCAL}\n'
        ),
        f"rm /root/other.*; {UNLOCAL}",
        says="for a name",
        also=(
            "settings-effective",
            "served-chain",
            "served-verified",
            "served-names",
            "login-accepted",
            "cleartext-refused",
        ),
    ),
    Row(
        "served-certificate",
        issue={},
        serve=True,
        stale=True,
        says="the old one after a renewal",
        systems=ALL,
    ),
    Row(
        "cleartext-refused",
        local("ssl = yes\nauth_allow_cleartext = yes"),
        UNLOCAL,
        says="in the words of 2.4",
        also=("settings-effective", "capabilities-cleartext", "starttls-state", "log-warnings"),
        systems=("debian13",),
    ),
    Row(
        "served-chain",
        issue={"only": "leaf"},
        serve=True,
        also=("certificate-installed", "served-verified", "login-accepted", "cleartext-refused", "log-errors"),
    ),
    Row(
        "served-verified",
        issue={"self_signed": True},
        serve=True,
        also=("certificate-installed", "served-certificate", "served-chain", "login-accepted", "cleartext-refused"),
    ),
    Row(
        "served-names",
        issue={"names": ["other.example.test"]},
        serve=True,
        also=("certificate-installed", "served-certificate", "served-verified", "login-accepted", "cleartext-refused"),
    ),
    Row(
        "served-dates",
        issue={"days": 0.03},
        serve=True,
        also=("certificate-installed", "served-certificate", "served-verified", "login-accepted", "cleartext-refused"),
    ),
    # ---- the sheet's certificate, before anything is touched
    Row(
        "certificate-given",
        sheet={"tls": None},
        judge=PREFLIGHT,
        systems=BOTH,
        also=(
            "key-readable",
            "key-matches",
            "certificate-names",
            "certificate-dates",
            "chain-complete",
            "certificate-strength",
        ),
    ),
    Row("key-readable", issue={"password": "a-passphrase"}, judge=PREFLIGHT, also=("key-matches",)),
    Row("key-matches", issue={"only": "key"}, judge=PREFLIGHT),
    Row("certificate-names", issue={"names": ["other.example.test"]}, judge=PREFLIGHT),
    Row("certificate-dates", issue={"days": 0.03}, judge=PREFLIGHT),
    Row("certificate-strength", issue={"key": "rsa1024"}, judge=PREFLIGHT),
    Row(
        "chain-complete",
        issue={"without": "chain"},
        judge=PREFLIGHT,
        also=("certificate-dates", "certificate-strength"),
    ),
    # ---- the run itself
    Row("test-account", sheet={"test_account": None}, status="skip", also=LOGINS),
    Row("prerequisite", "systemctl stop dovecot", RESTART, judge="05_secure", mode="apply", also=("pending", *SECURED)),
    Row("pending", "systemctl stop dovecot", RESTART, judge="05_secure", status="skip", also=(*GIVEN, *SECURED)),
    Row(
        "change-applied",
        "echo '# mine' >>\"$dropin\"; mkdir -p /etc/systemd/system/dovecot.service.d; "
        "printf '[Service]\\nExecStartPre=/bin/false\\n' >/etc/systemd/system/dovecot.service.d/zz.conf; "
        "systemctl daemon-reload",
        "rm /etc/systemd/system/dovecot.service.d/zz.conf; systemctl daemon-reload; "
        f"sed -i '/^# mine$/d' \"$dropin\"; {RESTART}",
        judge="05_secure",
        mode="apply",
        also=("drop-in-as-written", "unit-active", "log-errors", "mail-stored-and-read", *GONE),
    ),
    Row(
        "session-kept",
        # a reload that sends everybody away
        "mkdir -p /etc/systemd/system/dovecot.service.d; "
        "printf '[Service]\\nExecReload=\\nExecReload=/bin/sh -c \"pkill -x imap; doveadm reload\"\\n' "
        ">/etc/systemd/system/dovecot.service.d/zz.conf; systemctl daemon-reload",
        "rm /etc/systemd/system/dovecot.service.d/zz.conf; systemctl daemon-reload; "
        f'cp -p /root/kept/$name.crt "$crt"; cp -p /root/kept/$name.key "$key"; {RESTART}',
        issue={},
        judge="07_renew_certificate",
        mode="apply",
        # in apply mode there is a temporary account, and preflight is looked at again
        also=("log-warnings",),
    ),
    Row(
        "temporary-account-removed",
        "mv /usr/sbin/userdel /root/userdel",
        "mv /root/userdel /usr/sbin/userdel; for u in $(getent passwd | cut -d : -f 1 | grep '^rbk-'); "
        "do systemctl stop dovecot-runbook-$u.timer; userdel -r $u; done; rm -rf /run/dovecot-runbook; "
        "rm -f /run/systemd/system/dovecot-runbook-rbk-*; systemctl daemon-reload",
        canary=True,
    ),
)
LIVE = [row for row in ROWS if not row.captured]


@dataclass
class Patient:
    """A configured server that rows break and mend."""

    server: lab.Server
    folder: Path
    healthy: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    judged: dict[str, records.Record] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, str]:
        """Where certificate and key lie."""
        certs, private = {
            "debian12": ("/etc/ssl/certs", "/etc/ssl/private"),
            "debian13": ("/etc/ssl/certs", "/etc/ssl/private"),
            "el": ("/etc/pki/tls/certs", "/etc/pki/tls/private"),
        }[self.server.system]
        return f"{certs}/{self.server.name}.crt", f"{private}/{self.server.name}.key"

    @property
    def paths(self) -> str:
        """Shell variables for a row's scripts."""
        certificate, key = self.files
        drop_in = "/etc/dovecot/conf.d/99-dovecot-runbook.conf"
        return f"name={self.server.name} crt={certificate} key={key} dropin={drop_in}\n"

    def say(self, script: str) -> None:
        ran = self.server.run(self.paths + script)
        assert ran.rc == 0, ran

    def values(self) -> dict[str, Any]:
        account = {"name": USER, "password": "env:RUNBOOK_TEST_PASSWORD"}
        # failed logins would slow down the rows that follow; those that are about them allow some
        return yaml.safe_load(self.server.sheet.read_text()) | {"test_account": account, "failed_logins": 0}

    def judge(
        self, section: str, mode: str = "plan", values: dict[str, Any] | None = None, *, canary: bool = False
    ) -> records.Record:
        """Run one section by its notebook; the record says what was found."""
        path = self.folder / "sheet.yaml"
        path.write_text(yaml.safe_dump(values or self.values()))
        chosen = sections.pick(servers.root(), (section,))
        order = running.Order(
            sheet=path, want=sheet.load(path, base=servers.root()), sections=chosen, mode=mode, alone=section,
            canary=canary,
        )  # fmt: skip
        record = running.start(order, self.folder / "records")
        running.run(order, record, running.Watcher())
        return records.load(record)

    def baseline(self, section: str) -> dict[tuple[str, str], str]:
        """What a section says while nothing is broken: all of it good."""
        if section not in self.healthy:
            record = self.judge(section)
            assert record.verdict == "as-wanted", told(record)
            self.healthy[section] = statuses(record)
        return self.healthy[section]


def statuses(record: records.Record) -> dict[tuple[str, str], str]:
    return {(found.id, found.subject): found.status for _, found in record.findings}


def told(record: records.Record) -> list[str]:
    errors = [f"{section.name}: {section.error}" for section in record.sections if section.error]
    return errors + [
        f"{f.status} {f.id} {f.subject}: {f.message}" for _, f in record.findings if f.status in ("fail", "unknown")
    ]


def put(patient: Patient, row: Row, issued: Any) -> None:
    """Lay a certificate where Dovecot will read it."""
    only = (row.issue or {}).get("only")
    alone = issued.leaf if (row.issue or {}).get("self_signed") else issued.fullchain
    good = (patient.server.folder / "tls" / "leaf.pem").read_text()
    chain = {"key": "", "leaf": good}.get(only, alone)
    for text, path in ((chain, "$crt"), ("" if only == "leaf" else issued.key, "$key")):
        if text:
            ran = patient.server.run(f'{patient.paths}cat >"{path}"', stdin=text)
            assert ran.rc == 0, ran


def altered(patient: Patient, row: Row) -> dict[str, Any] | None:
    """The sheet that the row wants, with the certificate that it wants; or the server served so instead."""
    values = patient.values()
    for key, value in row.sheet.items():
        if value is None:
            values.pop(key)
        else:
            values[key] = {**values[key], **value} if isinstance(value, dict) else value
    if row.kept:
        certificate, key = patient.files
        values["tls"] = {
            "renewed_by": "lego", "certificate_path": certificate, "key_path": key, "trust": values["tls"]["trust"],
        }  # fmt: skip
    if row.issue is None:
        return values
    odd = {"only", "without", "names"}
    issued = lab.issue(row.issue.get("names", values["mail_names"]),
                       **{key: value for key, value in row.issue.items() if key not in odd})  # fmt: skip
    folder = patient.folder / "issued"
    issued.write(folder)
    if row.serve:
        put(patient, row, issued)
        if not row.stale:
            patient.say(RESTART)
            return values
    tls = values["tls"]
    if row.issue.get("only") == "key":
        tls["key"] = f"file:{folder / 'key.pem'}"
    elif "without" in row.issue:
        tls.pop(row.issue["without"])
    else:
        tls |= {"certificate": str(folder / "leaf.pem"), "key": f"file:{folder / 'key.pem'}"}
    return values


@pytest.fixture(scope="module")
def patients(
    configured: Callable[[str], lab.Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Patient]]:
    made: dict[str, Patient] = {}

    def get(system: str) -> Patient:
        if system not in made:
            server = configured(system)
            made[system] = Patient(server, tmp_path_factory.mktemp(system))
            made[system].say(f"useradd -m -s /bin/sh {USER}")
            ran = server.run("chpasswd -c SHA512 -s 1000", stdin=f"{USER}:{PASSWORD}\n")
            assert ran.rc == 0, ran
            made[system].say(
                'mkdir /root/kept; cp -a "$crt" "$key" "$dropin" /root/kept; '
                # rows restart it more often than systemd likes
                "mkdir -p /etc/systemd/system/dovecot.service.d; "
                "printf '[Unit]\\nStartLimitIntervalSec=0\\n' >/etc/systemd/system/dovecot.service.d/often.conf; "
                "systemctl daemon-reload"
            )
        return made[system]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_TEST_PASSWORD", PASSWORD)
        # findings are what this is about; a page takes as long as its notebook
        patch.setattr("runbook.render.notebook", lambda *_, **__: "")
        yield get


def cases(part: int) -> list[Any]:
    """The rows of one of three files: pytest has each file in a process of its own, and most rows are of one system."""
    rows = [(row, system) for system in ALL for row in LIVE if system in row.systems]
    breakages = list(dict.fromkeys(row.breakage for row, system in rows if system == ALL[0]))
    shares: tuple[list[tuple[Row, str]], ...] = ([], [], [])
    for row, system in rows:
        shares[breakages.index(row.breakage) % 2 if system == ALL[0] else 2].append((row, system))
    return [pytest.param(row, system, id=f"{system}-{row.name}") for row, system in shares[part]]


def judge(row: Row, patient: Patient) -> None:
    """Break the server, judge it, mend it: the row's finding is found, and what else changes is declared."""
    before = patient.baseline(row.judge)
    if row.breakage not in patient.judged:
        try:
            if row.breaks:
                patient.say(row.breaks)
            patient.judged[row.breakage] = patient.judge(row.judge, row.mode, altered(patient, row), canary=row.canary)
        finally:
            mend(patient, row)
    record = patient.judged[row.breakage]
    now = statuses(record)
    mine = [found for _, found in record.findings if found.id == row.id and found.status == row.status]
    assert mine, told(record)
    assert all(found.message and (found.remedy or found.status == "skip") for found in mine)
    changed = {key[0] for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    # a finding about another subject than before is no news while it is good
    changed -= {
        key[0]
        for key in now
        if key[0] in changed and all(now[k] in ("pass", before.get(k)) for k in now if k[0] == key[0])
    }
    undeclared = changed - {row.id, *row.also}
    assert not undeclared, "\n".join([", ".join(sorted(undeclared)), *told(record)])
    if row.status == "fail":
        assert record.verdict in ("failed", "no-go"), record.verdict


def mend(patient: Patient, row: Row) -> None:
    if row.mends:
        patient.say(row.mends)
    if row.serve:
        patient.say(f'cp -p /root/kept/$name.crt "$crt"; cp -p /root/kept/$name.key "$key"; {RESTART}')
