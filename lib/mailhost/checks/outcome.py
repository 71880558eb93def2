"""How a check says what it found: a finding whose texts fit its status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailhost.finding import Finding, Severity, Status
from mailhost.probes.target import Target
from mailhost.query import Fact


class Seen(Protocol):
    """What a client saw of one port, whatever it was after."""

    @property
    def target(self) -> Target:
        """The port."""

    @property
    def evidence(self) -> tuple[int, ...]:
        """Numbers of transcript entries."""


def judged(
    holds: bool | None,  # noqa: FBT001  # the one question that every check answers
    id: str,  # noqa: A002  # the finding's own word
    title: str,
    fact: Fact | Sequence[Fact],
    *,
    message: str,
    remedy: str,
    expected: str = "",
    actual: str = "",
    subject: str = "",
    severity: Severity = "medium",
    blocking: bool = False,
) -> Finding:
    """Pass for True, fail for False, unknown for None; a pass carries no message and no remedy."""
    facts = [fact] if isinstance(fact, Fact) else fact
    return Finding(
        id=id,
        title=title,
        status={True: "pass", False: "fail", None: "unknown"}[holds],  # type: ignore[arg-type]
        severity=severity,
        subject=subject,
        expected=expected,
        actual=actual,
        message="" if holds else message,
        remedy="" if holds else remedy,
        evidence=tuple(n for one in facts for n in one.evidence),
        blocking=blocking,
    )


def observed(
    id: str,  # noqa: A002  # the finding's own word
    title: str,
    seen: Seen,
    status: Status,
    *,
    actual: str,
    expected: str = "",
    message: str = "",
    remedy: str = "",
    severity: Severity = "high",
    subject: str = "",
    evidence: tuple[int, ...] = (),
) -> Finding:
    """A finding about one port; ``evidence`` adds to what the client saw there itself."""
    return Finding(
        id=id,
        title=title,
        status=status,
        severity=severity,
        subject=subject or str(seen.target),
        expected=expected,
        actual=actual,
        message=message,
        remedy=remedy,
        evidence=(*seen.evidence, *evidence),
    )


def unobserved(
    id: str,  # noqa: A002  # the finding's own word
    title: str,
    seen: Seen,
    why: str,
    remedy: str,
    *,
    expected: str = "",
    subject: str = "",
) -> Finding:
    """What could not be found out about one port, and why."""
    message = f"whether {title} at {seen.target} could not be found out: {why}. It is neither good nor bad."
    return observed(
        id, title, seen, "unknown", actual=why, expected=expected, message=message, remedy=remedy, subject=subject
    )


def skipped(id: str, title: str, why: str, *, subject: str = "", fact: Fact | None = None) -> Finding:  # noqa: A002
    """A check that does not apply, with the reason."""
    return Finding(id, title, "skip", subject=subject, message=why, evidence=fact.evidence if fact else ())


def some(words: Sequence[str], most: int = 8) -> str:
    """A list that a person can read: the first few, then how many more."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
