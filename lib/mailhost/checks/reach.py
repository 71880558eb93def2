"""Which ports the outside can reach: open where the sheet says so, and closed proven by failing to connect."""

from __future__ import annotations

from collections.abc import Iterable

from mailhost.finding import Finding, Status
from mailhost.probes.reach import Reach
from mailhost.sheet import PORTS, Sheet


def reach(seen: Iterable[Reach], want: Sheet, *, served: Iterable[str] = PORTS) -> list[Finding]:
    """``port-open`` and ``port-closed`` for each target, as the sheet's firewall and protocols say.

    Only the ``served`` services are judged; what came of the others tells whether an address answers at all.
    """
    results, judged = list(seen), set(served)
    # Somebody answered there in this run, so that a rejection is a firewall's and not a missing route's.
    answering = {r.target.address for r in results if r.state in ("open", "refused")}
    return [
        _open(r) if wanted(r.target.service, want) == "open" else _closed(r, served=r.target.address in answering)
        for r in results
        if r.target.service in judged
    ]


def wanted(service: str, want: Sheet) -> str:
    """``open`` or ``closed``: a port whose protocol is not served must be closed, whatever else the sheet says."""
    protocol = "pop3" if service.startswith("pop3") else "imap"
    return want.firewall.wanted()[service] if protocol in want.protocols else "closed"


def _open(r: Reach) -> Finding:
    def judged(status: Status, message: str = "", remedy: str = "") -> Finding:
        return _finding(r, status, "open", message, remedy)

    if r.target.origin == "loopback":
        return judged("unknown", *_FROM_INSIDE)
    if r.state == "open":
        return judged("pass")
    if r.state == "unknown":
        return judged("unknown", *_not_found_out(r))
    cause = {
        "refused": "nothing listens there, or a firewall answers for it",
        "timeout": "a firewall drops the packets (the server's, the provider's or one on the way), or it is down",
    }.get(r.state, "a firewall rejects it, or there is no route from here to that address")
    return judged(
        "fail",
        f"{r.target} cannot be reached ({r.reason}). {cause.capitalize()}. Users cannot get their mail this way.",
        "look whether Dovecot listens there, open the port in the server's firewall and in the provider's "
        "(security group), or set it to closed in the sheet.",
    )


def _closed(r: Reach, *, served: bool) -> Finding:
    def judged(status: Status, message: str = "", remedy: str = "") -> Finding:
        return _finding(r, status, "closed", message, remedy)

    if r.target.origin == "loopback":
        return judged("unknown", *_FROM_INSIDE)
    if r.state == "open":
        return judged(
            "fail",
            f"{r.target} is open and the sheet wants it closed. Everybody can talk to that service.",
            "close it in the server's firewall, or stop serving it; if it is meant to be open, say so in the sheet.",
        )
    if r.state in ("refused", "timeout") or (r.state == "unreachable" and served):
        return judged("pass")
    return judged("unknown", *_not_found_out(r))


_FROM_INSIDE = (
    "this was tried from the server's own loopback, where no firewall stands. It says nothing about the outside.",
    "probe the server's real address from outside (probe_from in the sheet).",
)


def _not_found_out(r: Reach) -> tuple[str, str]:
    message = (
        f"whether {r.target} is open could not be found out: {r.reason or r.state}. "
        "What the outside can reach is open to question."
    )
    return message, "check the network and the route from here to that address, or set probe_from: jump in the sheet."


def _finding(r: Reach, status: Status, expected: str, message: str, remedy: str) -> Finding:
    return Finding(
        id=f"port-{expected}",
        title=f"{r.target.service} is {expected} to the outside",
        status=status,
        severity="high",
        subject=str(r.target),
        expected=expected,
        actual=f"{r.state} ({r.ms} ms)",
        message=message,
        remedy=remedy,
        evidence=r.evidence,
    )
