"""Dovecot listens where it should, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from mailhost.checks.outcome import judged, some
from mailhost.facts.listeners import Listener, Listeners
from mailhost.facts.system import System
from mailhost.finding import Finding
from mailhost.sheet import PORTS, Sheet

_ANY4 = "0.0.0.0"  # noqa: S104  # compared with, never bound
_TITLE = "Dovecot listens where it should"


def wanted(system: System, sheet: Sheet) -> tuple[str, ...]:
    """The addresses to listen on: the sheet's; else all of IPv4 and, where the server has it, all of IPv6."""
    if sheet.listen is None:
        return (_ANY4, "::") if system.ipv6 else (_ANY4,)
    return tuple(_ANY4 if address == "*" else address for address in sheet.listen)


def listeners(listeners: Listeners, sheet: Sheet, served: Sequence[str], system: System) -> list[Finding]:
    """Dovecot holds the port of each service that it serves now, on each address; nobody holds one that it should not.

    A service of the sheet's protocols that is not ``served`` yet (993 and 995 before there is TLS) is left out.
    """
    if not listeners.known:
        return [
            judged(
                None,
                "listeners",
                _TITLE,
                listeners,
                message="neither netstat nor ss is there: who listens is not known.",
                remedy="install iproute2 (ss) or net-tools (netstat).",
                severity="high",
            )
        ]
    findings = []
    for service in PORTS:
        serves = service.removesuffix("s") in sheet.protocols
        if serves and service not in served:
            continue
        findings.append(_port(listeners, service, wanted(system, sheet) if serves else (), sheet))
    return findings


def _port(fact: Listeners, service: str, addresses: tuple[str, ...], sheet: Sheet) -> Finding:
    port = PORTS[service]
    rows = [row for row in fact.mail if row.port == port]
    missing = [address for address in addresses if not any(_serves(row, address) for row in rows)]
    foreign = [row for row in rows if not row.dovecot]
    # Without `listen` in the sheet any address will do; a protocol that is not in the sheet wants none.
    strict = sheet.listen is not None or not addresses
    surplus = [row for row in rows if row.dovecot and strict and row.address not in addresses]
    wrong = []
    if foreign:
        holders = [f"{row.program or '?'} (process {row.pid or '?'})" for row in foreign]
        wrong.append(f"{some(holders)} holds it")
    if missing:
        wrong.append(f"Dovecot does not listen on {some(missing)}, so clients are refused")
    if surplus:
        wrong.append(f"Dovecot listens on {some([row.address for row in surplus])}, which the sheet does not want")
    return judged(
        not wrong,
        "listeners",
        _TITLE,
        fact,
        subject=f"{service} {port}",
        expected=some([f"Dovecot on {address}" for address in addresses]) or "nobody",
        actual=some([f"{row.program or '?'} on {row.address}" for row in rows]) or "nobody",
        message=f"port {port}: {'; '.join(wrong)}.",
        remedy="run 03_configure and 05_secure in apply mode; for a program that is not Dovecot: stop and disable it."
        if addresses
        else f"remove {service.removesuffix('s')} from Dovecot's protocols (03_configure in apply mode), "
        "or add it to `protocols` in the sheet.",
        severity="high" if missing or foreign else "medium",
    )


def _serves(row: Listener, address: str) -> bool:
    """Whether the listener is Dovecot's and answers at this address; a socket unit's :: takes IPv4 as well."""
    both = row.program == "systemd" and row.address == "::"
    return row.dovecot and (row.address == address or (both and address == _ANY4) or _cut(row.address, address))


def _cut(shown: str, address: str) -> bool:
    """Whether netstat (one too old for -W) has cut this long IPv6 address short."""
    return len(shown) > 15 and ":" in shown and address.startswith(shown)  # noqa: PLR2004
