"""A hardening benchmark for Dovecot: numbered checks, each with its reason, its measure, its remedy and its source."""

from __future__ import annotations

from collections.abc import Iterable

from mailhost.checks.benchmark import authentication, currency, exposure, files, limits, logs, service, tls
from mailhost.checks.benchmark.model import Entry, Server
from mailhost.checks.outcome import judged, skipped
from mailhost.facts.dovecot import Dovecot
from mailhost.facts.hardening import Hardening
from mailhost.facts.listeners import Listeners
from mailhost.facts.users import Users
from mailhost.finding import STATUS_ORDER, Finding
from mailhost.sheet import Sheet

CHAPTERS: tuple[tuple[str, tuple[Entry, ...]], ...] = tuple(
    (chapter.TITLE, chapter.ENTRIES)
    for chapter in (authentication, tls, exposure, files, service, logs, limits, currency)
)
ENTRIES: tuple[Entry, ...] = tuple(entry for _, entries in CHAPTERS for entry in entries)


def benchmark(found: Dovecot, hard: Hardening, ports: Listeners, people: Users, want: Sheet) -> list[Finding]:
    """The findings of all checks that no other module makes; the subject of each is its number."""
    server = Server(found, hard, ports, people, want)
    return [_judge(entry, server) for entry in ENTRIES if entry.judge is not None]


def _judge(entry: Entry, server: Server) -> Finding:
    found = server.found
    if not found.installed:
        return skipped(entry.id, entry.title, "Dovecot is not installed yet", subject=entry.label, fact=found)
    if not found.valid:
        return skipped(
            entry.id,
            entry.title,
            "Dovecot refuses its configuration, so what is in force is not known: see configuration-valid",
            subject=entry.label,
            fact=found,
        )
    assert entry.judge is not None  # noqa: S101  # for mypy: only such entries come here
    outcome = entry.judge(server)
    if not outcome.applies:
        return skipped(entry.id, entry.title, outcome.wrong, subject=entry.label, fact=server.hard)
    return judged(
        outcome.holds,
        entry.id,
        entry.title,
        (server.hard, found),
        subject=entry.label,
        expected=outcome.expected,
        actual=outcome.actual,
        message=f"{outcome.wrong}: {entry.why}." if outcome.holds is False else f"{outcome.wrong}, so it is not known.",
        remedy=outcome.remedy or entry.remedy_for(found.version),
        severity=entry.severity,
    )


def table(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Every numbered check with the worst that this run has found of it; empty where nothing was judged."""
    known = list(findings)
    return [
        {
            "check": entry.label,
            "condition": entry.title,
            "severity": entry.severity,
            "status": min(
                (f.status for f in known if f.id in entry.findings), key=STATUS_ORDER.__getitem__, default="-"
            ),
            "findings": ", ".join(entry.findings),
        }
        for entry in ENTRIES
    ]
