"""Dovecot's own log tells of nothing new that is wrong."""

from __future__ import annotations

from mailhost.checks.outcome import judged, some
from mailhost.facts.log import Log
from mailhost.finding import Finding

_MOST = 5  # lines that are shown in a message; the rest is in the transcript


def log(log: Log) -> list[Finding]:
    """Dovecot has logged no error and no warning since the moment that was asked for."""
    return [
        _judge(log, "log-errors", "Dovecot logs no error", [row.text for row in log.errors], low=False),
        _judge(log, "log-warnings", "Dovecot logs no warning", [row.text for row in log.warnings], low=True),
    ]


def _judge(log: Log, id: str, title: str, lines: list[str], *, low: bool) -> Finding:  # noqa: A002
    kind = "warning" if low else "error"
    if log.readable or lines:
        message = f"Dovecot logged {len(lines)} new {kind}{'s' if len(lines) > 1 else ''}: " + " | ".join(lines[:_MOST])
        remedy = f"read {log.where} from that time on; Dovecot's own words mostly name the setting or the file."
    else:
        message = f"Dovecot's log cannot be read: {log.problem}. What went wrong there is not known."
        remedy = "give Dovecot a log_path that can be read, or keep a journal."
    ignored = [row.known for row in log.rows if row.known]
    return judged(
        False if lines else True if log.readable else None,
        id,
        title,
        log,
        subject=log.where,
        expected=f"no new {kind}",
        actual=f"{len(lines)} new"
        + (f" ({len(ignored)} known to be harmless: {some(sorted(set(ignored)))})" if ignored else ""),
        message=message,
        remedy=remedy,
        severity="low" if low else "high",
    )
