"""Names: of the runbook's own temporary accounts, and of servers as a resolver answers for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import dns.exception
import dns.resolver

PREFIX = "rbk-"
EXPIRED = "expired-"  # follows the prefix where an account is made expired
GECOS = "dovecot-runbook temporary account"

_SECONDS = 5.0  # for all tries of one question


@dataclass(frozen=True)
class Resolved:
    """What a resolver says about one name.

    addresses  IPv4 first, as texts; empty when there are none
    missing    the name does not exist, or has no address: the resolver's own word
    problem    why there was no answer at all; nothing is known then
    """

    name: str
    addresses: tuple[str, ...] = ()
    missing: bool = False
    problem: str = ""


def ask(names: Iterable[str], resolver: str | None = None) -> dict[str, Resolved]:
    """Ask a resolver (its address; None for this machine's own) for the IPv4 and IPv6 addresses of names."""
    return {name: _ask(name, resolver) for name in names}


def resolve(names: Iterable[str], resolver: str | None = None) -> dict[str, tuple[str, ...]]:
    """The addresses of names; an empty tuple when there are none or nobody answered (`ask` tells which)."""
    return {name: answer.addresses for name, answer in ask(names, resolver).items()}


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _ask(name: str, resolver: str | None) -> Resolved:
    if is_address(name):
        return Resolved(name, (str(ipaddress.ip_address(name)),))
    try:
        asked = dns.resolver.Resolver(configure=resolver is None)
    except dns.exception.DNSException as error:
        return Resolved(name, problem=f"this machine has no resolver: {error}")
    if resolver is not None:
        asked.nameservers = [resolver]
    asked.lifetime = _SECONDS
    found: list[str] = []
    problems: list[str] = []
    for kind in ("A", "AAAA"):
        try:
            found += [record.address for record in asked.resolve(name, kind, search=False)]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            continue
        except dns.exception.DNSException as error:
            problems.append(f"{kind}: {_why(error)}")
    if problems and not found:
        return Resolved(name, problem="; ".join(problems))
    return Resolved(name, tuple(found), missing=not found)


def _why(error: dns.exception.DNSException) -> str:
    if isinstance(error, dns.exception.Timeout):
        return f"no answer within {_SECONDS:.0f} s"
    if isinstance(error, dns.resolver.NoNameservers):
        return "the resolver refused or failed"
    return str(error) or type(error).__name__
