"""Chapter 7: how much one client, one process and all of them may use."""

from __future__ import annotations

from mailhost.checks.benchmark.model import Entry, Outcome, Server, known, none_of, number

TITLE = "Limits"
_CLIENTS, _PROCESSES = 1000, 100  # Dovecot's own default_client_limit and default_process_limit


def _connections(server: Server) -> Outcome:
    bad = [value for _, value in server.everywhere("mail_max_userip_connections") if value in ("0", "unlimited")]
    shown = server.setting("mail_max_userip_connections", "10")
    return known(
        not bad, "a limit", bad[0] if bad else shown, "mail_max_userip_connections sets no limit for one person"
    )


def _memory(server: Server) -> Outcome:
    bad = [
        f"{name} = {value}" + (f" in {where}" if where else "")
        for name in ("default_vsz_limit", "vsz_limit")
        for where, value in server.everywhere(name)
        if value in ("0", "unlimited")
    ]
    outcome = none_of(bad, "a limit", "no limit")
    return outcome if bad else known(True, "a limit", server.setting("default_vsz_limit", "256 M"))


def _auth(server: Server) -> Outcome:
    each = number(server.setting("default_process_limit", ""), _PROCESSES)
    logins = sum(number(server.of_service(name, "process_limit") or "", each) for name in server.login_services)
    room = number(
        server.of_service("auth", "client_limit") or "",
        number(server.setting("default_client_limit", ""), _CLIENTS),
    )
    return known(
        room >= logins, f"{logins} or more", str(room), f"auth serves {room} clients, of {logins} login processes"
    )


ENTRIES = (
    Entry(
        "7.1",
        id="connections-limited",
        judge=_connections,
        title="One person's connections are limited",
        severity="low",
        why="one mail program gone wild, or one stolen password, takes the service from everybody",
        measured="the effective mail_max_userip_connections",
        remedy="Leave `mail_max_userip_connections` at 10, or a few times that.",
        source="Dovecot settings, mail_max_userip_connections",
    ),
    Entry(
        "7.2",
        id="memory-limited",
        judge=_memory,
        title="A process's memory is limited",
        severity="low",
        why="one broken mailbox takes the server's memory, and with it all services",
        measured="the effective default_vsz_limit, and vsz_limit of each service",
        remedy="Leave `default_vsz_limit` at 256 M; raise it for the service that needs more.",
        source="Dovecot manual, service configuration, vsz_limit",
    ),
    Entry(
        "7.3",
        id="auth-serves-logins",
        judge=_auth,
        title="The auth process serves as many clients as there may be login processes",
        severity="low",
        why="under load, or under attack, logins hang and fail for everybody",
        measured="the effective client_limit of auth and process_limit of the login services",
        remedy="Raise `client_limit` in `service auth`, or lower `process_limit` of the login services.",
        source="Dovecot manual, service configuration, client_limit and process_limit",
    ),
)
