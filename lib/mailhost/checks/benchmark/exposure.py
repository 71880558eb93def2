"""Chapter 3: what the network can reach."""

from __future__ import annotations

from mailhost.checks.benchmark.model import Entry, Outcome, Server, none_of
from mailhost.sheet import PORTS

TITLE = "Exposure"
_OWN = ("dovecot", "auth", "stats", "lmtp", "doveadm-server", "replicator", "director")


def _extra(server: Server) -> Outcome:
    if not server.ports.known:
        return Outcome(None, "110, 143, 993, 995", "not known", "neither netstat nor ss is there to ask")
    bad = [
        f"{row.address} port {row.port} ({row.program})"
        for row in server.ports.rows
        if (row.program in _OWN or row.program.endswith("-login"))
        and row.port not in PORTS.values()
        and not row.address.startswith("127.")
        and row.address != "::1"
    ]
    return none_of(bad, "only mail ports", "Dovecot listens on more ports")


ENTRIES = (
    Entry(
        "3.1",
        title="Dovecot listens where the sheet says, and is reached as it says",
        severity="high",
        why="a port that nobody wants is one more to attack",
        measured="the listening sockets; a connect to every port from outside; the firewall's rules, permanent too",
        remedy="Apply sections 03_configure and 04_test.",
        source="CIS Controls 4.4 and 4.8; RFC 8314 section 3",
        measured_by=("listeners", "port-open", "port-closed", "firewall-rules", "firewall-permanent"),
    ),
    Entry(
        "3.2",
        id="extra-listeners",
        judge=_extra,
        title="Dovecot listens on no other port of the network",
        severity="high",
        why="services for administration or for other servers (doveadm, auth, lmtp, stats) are open to strangers",
        measured="the listening sockets of Dovecot's processes",
        remedy="Take the `inet_listener` out, give it `port = 0`, or bind it with `listen = 127.0.0.1` (before 2.4 "
        "`address = 127.0.0.1`).",
        source="CIS Controls 4.8; Dovecot manual, service configuration",
    ),
)
