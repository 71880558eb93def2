"""Where a probe goes: one service at one address, and the name that clients know it by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from mailhost.sheet import PORTS

Service = Literal["pop3", "imap", "pop3s", "imaps"]
Protocol = Literal["pop3", "imap"]
Origin = Literal["here", "loopback", "jump"]


@dataclass(frozen=True)
class Target:
    """One service at one address of the server.

    address  the server's address as a literal, never a name: each of them is proven by itself
    name     what clients type: sent as SNI, and the name that the certificate must bear
    via      a local (host, port) that leads there through SSH, or None to connect directly; another way there leads to
             the same target
    origin   whom the server sees: ``here`` and ``jump`` come from outside; ``loopback`` counts as secured
    named    whether another target differs from this one by its name only
    """

    service: Service
    address: str
    port: int
    name: str
    via: tuple[str, int] | None = field(default=None, compare=False)
    origin: Origin = "here"
    named: bool = False

    @property
    def protocol(self) -> Protocol:
        """The protocol that is spoken, with or without TLS."""
        return "pop3" if self.service.startswith("pop3") else "imap"

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS comes first (993, 995); else STARTTLS or STLS leads to it."""
        return self.service in ("pop3s", "imaps")

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where to connect to in fact."""
        return self.via or (self.address, self.port)

    def __str__(self) -> str:
        """As in ``imap 10.0.0.5:143``, and where it was seen from when that is not here."""
        seen = {"here": "", "loopback": " (from its loopback)", "jump": " (from the jump host)"}[self.origin]
        by_name = f" as {self.name}" if self.named else ""
        return f"{self.service} {bracketed(self.address)}:{self.port}{by_name}{seen}"


def bracketed(address: str) -> str:
    """The address as it stands before a port: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def targets(
    name: str, addresses: Iterable[str], services: Iterable[str] = PORTS, *, origin: Origin = "here"
) -> tuple[Target, ...]:
    """Every service at every address, at the usual ports."""
    wanted = tuple(services)
    return tuple(
        Target(service, address, PORTS[service], name, origin=origin)
        for address in addresses
        for service in get_args(Service)
        if service in wanted
    )


def by_other_names(aimed: Iterable[Target], names: Iterable[str]) -> tuple[Target, ...]:
    """The same services under other names, at the first address: a server may have a certificate for each name."""
    known = tuple(aimed)
    return tuple(
        replace(target, name=name, named=True)
        for name in names
        for target in known
        if target.address == known[0].address
    )
