"""Chapter 5: the accounts that Dovecot runs as, and what systemd keeps from it."""

from __future__ import annotations

from mailhost.checks.benchmark.model import Entry, Outcome, Server, known, none_of
from mailhost.parse import doveconf

TITLE = "Service account and sandbox"
_SHELLS_FOR_NOBODY = ("nologin", "false", "true", "sync")
_PRIVILEGED = ("root", "dovecot", "$default_internal_user")
# Dovecot's own default for these, in every version: they need it, or give it up for the user's whom they serve.
_ROOT_BY_DEFAULT = ("auth-worker", "config", "doveadm", "imap-urlauth-worker", "indexer-worker", "log", "ssl-params")
_ROOT = ("root", "0")
_MAIL_AS_ROOT = tuple(f"uid={name}" for name in _ROOT)
_SANDBOX = {
    "ProtectSystem": ("full", "strict", "yes"),
    "PrivateTmp": ("yes", "disconnected"),
    "PrivateDevices": ("yes",),
}


def _login_user(server: Server) -> Outcome:
    set_to = [
        f"{where or 'default_login_user'} user = {value}"
        for name in ("user", "service_user", "default_login_user")
        for where, value in server.everywhere(name)
        if value in _PRIVILEGED and (not where or where.endswith("-login"))
    ]
    seen = [f"{name} runs as root" for name, uid, _ in server.hard.processes if name.endswith("-login") and uid == 0]
    return none_of(
        [*set_to, *seen],
        "login processes run as dovenull",
        "processes that strangers talk to have rights that they do not need",
    )


def _services(server: Server) -> Outcome:
    services = [
        (where.removeprefix("service "), value)
        for where, value in server.everywhere("user")
        if where.startswith("service ") and " unix_listener " not in where and " fifo_listener " not in where
    ]
    bad = [
        f"service {name} user = {value}"
        for name, value in services
        if value in _ROOT and name not in _ROOT_BY_DEFAULT and not name.endswith("-login")
    ]
    bad += [
        f"mail_uid = {value}{f' in {where}' if where else ''}"
        for where, value in server.everywhere("mail_uid")
        if value in _ROOT
    ]
    for _, rows in doveconf.blocks(server.found.config, "userdb"):
        words = [word for row in rows for word in f"{row.name}={row.value} {row.value}".split()]
        bad += [f"userdb {word}" for word in words if word in _MAIL_AS_ROOT]
    return none_of(bad, "Dovecot's own defaults, or other accounts than root", "set to run as root")


def _chroot(server: Server) -> Outcome:
    bad = [
        f"{service}: chroot = {value or '(empty)'}"
        for service in server.login_services
        if (value := server.of_service(service, "chroot")) is not None and value != "login"
    ]
    return none_of(bad, "chroot = login", "login processes see the whole file system")


def _accounts(server: Server) -> Outcome:
    lines = server.hard.accounts
    login, internal = (lines.get(f"default_{kind}_user", "").split(":") for kind in ("login", "internal"))
    if len(login) < 7 or len(internal) < 7:  # noqa: PLR2004  # fields of a line of passwd
        return Outcome(None, "dovenull and dovecot", "not told", "Dovecot's accounts could not be looked up")
    bad = [f"{who[0]} has the shell {who[6]}" for who in (login, internal) if who[6].rpartition("/")[2]
           not in _SHELLS_FOR_NOBODY]  # fmt: skip
    bad += [f"{who[0]} is root" for who in (login, internal) if who[2] == "0"]
    bad += [f"{login[0]} is both"] if login[2] == internal[2] else []
    return none_of(bad, "two accounts, not root, without a shell", "Dovecot's accounts are not apart")


def _sandbox(server: Server) -> Outcome:
    told = server.hard.sandbox  # an old systemd does not know all of them
    expected = "ProtectSystem=full, PrivateTmp=yes, PrivateDevices=yes"
    if not told:
        return Outcome(None, expected, "not told", "systemd told nothing of the unit's sandbox")
    open_ = {name: f"{name}={told[name]}" for name, good in _SANDBOX.items() if name in told and told[name] not in good}
    if open_ and set(open_) <= set(server.hard.left_open):
        why = "the package's own unit has no such sandbox, as those of Dovecot 2.2; a drop-in of yours may add one"
        return Outcome(None, expected, ", ".join(open_.values()), why, applies=False)
    return none_of(list(open_.values()), expected, "the unit's sandbox is open")


def _cores(server: Server) -> Outcome:
    size, pattern = server.hard.core_size, server.hard.core_pattern
    if not server.found.running:
        return Outcome(True, "0", "it does not run")
    if not size:
        return Outcome(None, "0", "not told", "the limits of Dovecot's master process could not be read")
    holds = size == "0" or pattern.startswith("|")  # a program takes them, and keeps them for root
    return known(holds, "0", size, f"Dovecot may write core dumps of {size} to files")


ENTRIES = (
    Entry(
        "5.1",
        id="login-unprivileged",
        judge=_login_user,
        title="Processes that strangers talk to have no rights",
        severity="critical",
        why="an error in the protocol or in TLS gives the whole server away",
        measured="the effective user of login services, and of login processes that run",
        remedy="Take `user` out of `service imap-login` and `service pop3-login`: the default is dovenull.",
        source="Dovecot manual, login processes; system users used by Dovecot",
    ),
    Entry(
        "5.2",
        id="login-chrooted",
        judge=_chroot,
        title="Login processes see an empty folder only",
        severity="high",
        why="an error in the protocol or in TLS lets strangers look around on the server",
        measured="the effective chroot of login services",
        remedy="Take `chroot` out of `service imap-login` and `service pop3-login`: the default is `login`.",
        source="Dovecot manual, login processes",
    ),
    Entry(
        "5.3",
        id="service-accounts",
        judge=_accounts,
        title="Dovecot has two accounts of its own that nobody logs in with",
        severity="medium",
        why="what breaks out of a login process reaches the other processes, or gets a shell",
        measured="the effective default_login_user and default_internal_user, and their lines of passwd",
        remedy="Use the packages' dovenull and dovecot; `usermod -s /usr/sbin/nologin NAME`.",
        source="Dovecot manual, system users used by Dovecot",
    ),
    Entry(
        "5.4",
        id="unit-sandboxed",
        judge=_sandbox,
        title="systemd keeps system files and devices from Dovecot",
        severity="medium",
        why="an error in a process that runs as root changes the system itself",
        measured="the effective ProtectSystem, PrivateTmp and PrivateDevices of the unit",
        remedy="Take the drop-in out that opens it, or set all three in one in /etc/systemd/system/dovecot.service.d, "
        "then `systemctl daemon-reload` and restart.",
        source="systemd.exec(5); the unit as Dovecot ships it",
    ),
    Entry(
        "5.5",
        id="core-dumps",
        judge=_cores,
        title="Dovecot leaves no core dump in a file",
        severity="low",
        why="a core dump holds passwords, mail and the private key",
        measured="the limit of the master process that runs, and where the kernel puts core dumps",
        remedy="Take `LimitCORE` out of the unit's drop-ins once the error is found, then restart.",
        source="core(5); CIS Distribution Independent Linux Benchmark, core dumps are restricted",
    ),
    Entry(
        "5.6",
        id="services-unprivileged",
        judge=_services,
        title="No service and no mail is set to run as root",
        severity="high",
        why="an error there, or one mail made for it, gives the whole server away",
        measured="the effective user of services whose default is another (or is given up after the login), mail_uid, "
        "and the uid that userdb sections set",
        remedy="Take `user` out of that service, and give `mail_uid` or the userdb an account of its own.",
        source="Dovecot manual, service configuration; system users used by Dovecot",
    ),
)
