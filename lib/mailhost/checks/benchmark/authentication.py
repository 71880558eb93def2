"""Chapter 1: who may log in, and how."""

from __future__ import annotations

from mailhost.checks.benchmark import pam
from mailhost.checks.benchmark.model import Entry, Outcome, Passdb, Server, known, none_of, off

TITLE = "Authentication"
# They want passwords kept readable on the server, or none at all; all of them predate TLS.
_WEAK = ("anonymous", "cram-md5", "digest-md5", "apop", "ntlm", "rpa", "skey", "otp")
_LEAST_UID = 500
_RULES = "See which file PAM reads for that service, and whether its auth rules end in pam_deny."
_LOOK = "Look for root in the files that it stands for when people log in, or name a file without variables."


def _mechanisms(server: Server) -> Outcome:
    offered = {word.lower(): None for _, words in server.words("auth_mechanisms") for word in words}
    bad = [name for name in offered if name in _WEAK]
    return Outcome(
        not bad,
        "plain and login, inside TLS",
        " ".join(offered) or "plain",
        f"auth_mechanisms offers {', '.join(bad)}",
    )


def _any_password(server: Server) -> Outcome:
    asked = [passdb for passdb in server.passdbs if passdb.says("deny") != "yes"]
    bad = [
        f"passdb {passdb.driver}"
        for passdb in asked
        if "nopassword" in passdb.text or (passdb.driver == "static" and "password=" in passdb.text)
    ]
    bad += [f"nopassword in {path}" for path in server.hard.free_listed if any(passdb.reads(path) for passdb in asked)]
    services = [name for passdb in asked if passdb.driver == "pam" for name in _pam_services(passdb, server)]
    bad += [f"PAM's {name}: {rule}" for name in services if (rule := pam.lets_in(server.hard.pam, name))]
    expected = "every password is looked up"
    if not bad and (untold := [name for name in services if name not in server.hard.pam]):
        why = f"PAM's rules for {', '.join(untold)} are not in /etc/pam.d"
        return Outcome(None, expected, "not told", why, remedy=_RULES)
    return none_of(bad, expected, "a passdb lets in without looking the password up")


def _pam_services(passdb: Passdb, server: Server) -> tuple[str, ...]:
    """The services of PAM that are asked; one that is not there is PAM's own ``other``."""
    words = passdb.says("service_name").split() or [word for word in passdb.says("args").split() if "=" not in word]
    name = words[-1] if words else "dovecot"
    names = tuple(sorted(server.want.protocols)) if "%" in name or name == "*" else (name,)
    return tuple(name if name in server.hard.pam else "other" for name in names)


def _root(server: Server) -> Outcome:
    refusing = [passdb for passdb in server.passdbs if passdb.says("deny") == "yes"]
    listed = [
        f"root in {path}" for path in server.hard.root_listed if not any(passdb.reads(path) for passdb in refusing)
    ]
    listed += [
        f"first_valid_uid = 0{f' in {where}' if where else ''}"
        for where, value in server.everywhere("first_valid_uid")
        if value == "0"
    ]
    expected = "root has no password here and UID 0 is not valid"
    named = [line.split(" ", 2)[2] for line in server.hard.named]
    unseen = [
        passdb.path
        for passdb in server.passdbs
        if passdb.varies and passdb not in refusing and not any(passdb.reads(path) for path in named)
    ]
    if unseen and not listed:
        why = f"no file is there that {', '.join(unseen)} may stand for"
        return Outcome(None, expected, "not told", why, remedy=_LOOK)
    return none_of(listed, expected, "root may log in")


def _system_users(server: Server) -> Outcome:
    """Dovecot's own 500 is below what distributions give to people, and good where no account there can log in."""
    told = {"": server.setting("first_valid_uid", str(_LEAST_UID))} | dict(server.everywhere("first_valid_uid"))
    least = min((int(value) for value in told.values() if value.isdigit()), default=_LEAST_UID)
    low = [
        f"first_valid_uid = {value}{f' in {where}' if where else ''}"
        for where, value in told.items()
        if not value.isdigit() or int(value) < _LEAST_UID
    ]
    inside = [line for line in server.hard.system_logins if int(line.rpartition(" ")[2]) >= least]
    own = [f"{line} has a password" for line in inside]
    expected = f"first_valid_uid {_LEAST_UID} or more, no account of the system with a password above it"
    return none_of([*low, *own], expected, "accounts of the system may log in")


def _masters(server: Server) -> Outcome:
    bad = [f"passdb {passdb.driver}" for passdb in server.passdbs if passdb.says("master") == "yes"]
    return none_of(bad, "no passdb with master = yes", "there are master users")


def _delay(server: Server) -> Outcome:
    delay = server.setting("auth_failure_delay", "2 secs")
    holds = delay.split()[0] != "0" if delay else None
    return known(holds, "1 second or more", delay, f"auth_failure_delay is {delay}")


def _logged(server: Server) -> Outcome:
    names = ("auth_verbose_passwords", "auth_debug_passwords")
    return off(server, names, ("no",), "Dovecot writes passwords into its log")


ENTRIES = (
    Entry(
        "1.1",
        title="A login without TLS is refused",
        severity="critical",
        why="whoever listens on the way reads the password",
        measured="a login in clear text from outside, with a wrong password, beside one over TLS that works; the "
        "effective settings",
        remedy="Require TLS and refuse passwords in clear text.",
        spelled={
            "2.2": "`ssl = required`, `disable_plaintext_auth = yes`.",
            "2.3": "`ssl = required`, `disable_plaintext_auth = yes`.",
            "2.4": "`ssl = required`, `auth_allow_cleartext = no`.",
        },
        source="RFC 8314 section 3; Dovecot manual, SSL configuration",
        measured_by=("cleartext-refused", "settings-effective"),
    ),
    Entry(
        "1.2",
        title="No way to log in is offered before TLS",
        severity="high",
        why="mail programs send the password to a server that offers to take it",
        measured="the capabilities of IMAP and POP3 before TLS, from outside",
        remedy="Require TLS, and offer no mechanism but plain and login.",
        source="RFC 9051 section 6.2.3 (LOGINDISABLED); RFC 2595",
        measured_by=("capabilities-cleartext", "capabilities-tls"),
    ),
    Entry(
        "1.3",
        title="No network is excepted from the rule",
        severity="medium",
        why="from a trusted network passwords are accepted in clear",
        measured="the effective login_trusted_networks, of each protocol too, and haproxy_trusted_networks",
        remedy="Leave `login_trusted_networks` and `haproxy_trusted_networks` empty unless a proxy needs them.",
        source="Dovecot settings, login_trusted_networks and haproxy_trusted_networks",
        measured_by=("trusted-networks",),
    ),
    Entry(
        "1.4",
        id="auth-mechanisms",
        judge=_mechanisms,
        title="Only mechanisms that need no readable passwords are offered",
        severity="high",
        why="the server must keep passwords readable for them (or lets anybody in), and they are offered before TLS",
        measured="the effective auth_mechanisms",
        remedy="`auth_mechanisms = plain`, with `login` where old clients need it: inside TLS both are safe.",
        source="RFC 6331 (DIGEST-MD5 to historic); RFC 8314; Dovecot manual, authentication mechanisms",
    ),
    Entry(
        "1.5",
        title="A wrong password is refused",
        severity="critical",
        why="anybody reads everybody's mail",
        measured="a login over TLS with a wrong password",
        remedy="Look at the passdb sections of `doveconf -n`.",
        source="Dovecot manual, password databases",
        measured_by=("wrong-password-refused",),
    ),
    Entry(
        "1.6",
        id="passdb-any-password",
        judge=_any_password,
        title="No source of passwords lets in without one",
        severity="critical",
        why="whoever knows a name (or guesses one) reads that mail",
        measured="the effective passdb sections: nopassword, or one static password for all; nopassword in the files "
        "that they name; PAM's rules, walked with a wrong password",
        remedy="Take the section, the field or PAM's rule out; give the section `deny = yes` where it lists people to "
        "refuse.",
        source="Dovecot manual, static password database and the field nopassword; pam.conf(5)",
    ),
    Entry(
        "1.7",
        id="root-refused",
        judge=_root,
        title="Root cannot log in to mail",
        severity="high",
        why="strangers may try root's password from anywhere, and who finds it owns the server",
        measured="the password files that the configuration names (a variable stands for any name; not known where "
        "no file is there), and the effective first_valid_uid",
        remedy="Take root out of the file, and set first_valid_uid to the first ordinary user's.",
        source="Dovecot manual, security tuning (first_valid_uid)",
    ),
    Entry(
        "1.8",
        id="system-users-refused",
        judge=_system_users,
        title="Accounts of the system cannot log in to mail",
        severity="medium",
        why="accounts of services get mailboxes, and their files are served as mail",
        measured="the effective first_valid_uid, of each protocol too, and accounts from there to UID_MIN that have a "
        "password",
        remedy="`first_valid_uid = 1000`, or the first that the distribution gives to people (UID_MIN in login.defs).",
        source="Dovecot manual, security tuning; login.defs(5), UID_MIN",
    ),
    Entry(
        "1.9",
        id="master-users",
        judge=_masters,
        title="There are no master users",
        severity="medium",
        why="one password opens every mailbox",
        measured="the effective passdb sections",
        remedy="Take the section with `master = yes` out once a migration is done.",
        source="Dovecot manual, master users",
    ),
    Entry(
        "1.10",
        id="auth-delay",
        judge=_delay,
        title="A failed login is answered late",
        severity="low",
        why="passwords can be guessed as fast as the server answers",
        measured="the effective auth_failure_delay",
        remedy="Leave `auth_failure_delay` at its default of 2 seconds.",
        source="Dovecot settings, auth_failure_delay",
    ),
    Entry(
        "1.11",
        id="passwords-not-logged",
        judge=_logged,
        title="No password is written into a log",
        severity="high",
        why="logs are kept for long, copied and read by many; people's typing errors are there to read as well",
        measured="the effective auth_verbose_passwords and auth_debug_passwords",
        remedy="`auth_verbose_passwords = no`, `auth_debug_passwords = no`; have those people change their passwords.",
        source="Dovecot settings, auth_verbose_passwords; OWASP Logging Cheat Sheet",
    ),
)
