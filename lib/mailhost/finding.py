"""Findings: the outcome of a check, and the verdict that a list of them amounts to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["pass", "fail", "skip", "unknown"]
Severity = Literal["critical", "high", "medium", "low"]

# Worst first; the order in which people should read.
STATUS_ORDER: dict[str, int] = {"fail": 0, "unknown": 1, "skip": 2, "pass": 3}
SEVERITY_ORDER: dict[str, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check on one subject.

    id        kebab-case, stable across versions, e.g. ``cleartext-refused``
    subject   what was judged when an id has several, e.g. ``imap 10.0.0.5:143``; else empty
    title     the condition that must hold, in the field's own terms
    message   for anything but a pass: what is wrong and what follows from it
    expected, actual   short texts, shown side by side
    evidence  numbers of transcript entries
    remedy    what to do; empty only for a pass
    blocking  a fail here in preflight means no-go
    """

    id: str
    title: str
    status: Status
    severity: Severity = "medium"
    subject: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    remedy: str = ""
    evidence: tuple[int, ...] = ()
    blocking: bool = False

    def __post_init__(self) -> None:
        """Refuse a finding that leaves its reader without help: a defect of ours, not a server's."""
        if self.status in ("fail", "unknown") and not (self.message and self.remedy):
            msg = f"finding {self.id} is '{self.status}' and has no message or no remedy"
            raise ValueError(msg)
        if self.status == "skip" and not self.message:
            msg = f"finding {self.id} is skipped without a reason"
            raise ValueError(msg)

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON values."""
        return {**vars(self), "evidence": list(self.evidence)}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order in which they should be read."""
    return sorted(findings, key=lambda f: (STATUS_ORDER[f.status], SEVERITY_ORDER[f.severity], f.id, f.subject))


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each status; all four keys are always there."""
    totals = {"pass": 0, "fail": 0, "skip": 0, "unknown": 0}
    for finding in findings:
        totals[finding.status] += 1
    return totals
