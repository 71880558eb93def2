"""Who listens on which port, as `netstat -tulpn` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import sockets
from mailhost.query import Fact, Query
from mailhost.sheet import PORTS, Sheet

# -W: netstat cuts long IPv6 addresses without it. ss of CentOS 7 has no -H; its heading is dropped by the parser.
_LISTENERS = """\
if command -v netstat >/dev/null 2>&1; then echo netstat; netstat -tulpnW 2>/dev/null || netstat -tulpn
elif command -v ss >/dev/null 2>&1; then echo ss; ss -Htulpn 2>/dev/null || ss -tulpn
else echo none; fi
"""
# Login processes share the master's sockets, and with socket activation systemd holds them.
DOVECOT = ("dovecot", "imap-login", "pop3-login", "systemd")


@dataclass(frozen=True)
class Listener:
    """One socket that waits for connections; ``pid`` and ``program`` are of one of its holders."""

    proto: str
    address: str
    port: int
    pid: int | None
    program: str

    @property
    def dovecot(self) -> bool:
        """Whether Dovecot (or systemd on its behalf) holds it."""
        return self.program in DOVECOT

    @property
    def ipv6(self) -> bool:
        """Whether it is an IPv6 socket."""
        return self.proto.endswith("6") or ":" in self.address


@dataclass(frozen=True)
class Listeners(Fact):
    """The server's listening sockets; ``tool`` is ``netstat``, ``ss`` or ``none`` (then nothing is known)."""

    tool: str = "none"
    rows: tuple[Listener, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a tool was there to ask."""
        return self.tool != "none"

    @property
    def held(self) -> dict[str, str]:
        """Each address and port, and the program that holds it."""
        return {f"{row.proto} {row.address}:{row.port}": row.program or "?" for row in self.rows}

    @property
    def mail(self) -> tuple[Listener, ...]:
        """The rows of 110, 143, 993 and 995."""
        return tuple(row for row in self.rows if row.proto.startswith("tcp") and row.port in PORTS.values())


def _commands(_sheet: Sheet, _family: Family | None) -> dict[str, Command]:
    return {"listeners": sh(_LISTENERS)}


def read(results: Mapping[str, Result]) -> Listeners:
    """The same rows from either tool. Raises CommandError when the tool fails."""
    tool, _, text = results["listeners"].checked().stdout.partition("\n")
    rows = {"netstat": sockets.netstat, "ss": sockets.ss}.get(tool, lambda _: [])(text)
    return Listeners(tool=tool, rows=tuple(Listener(**row) for row in rows))


query: Query[Listeners] = Query("listeners", "Who listens on which port", _commands, read)
