"""What a log is told of a run, where no table follows (``--json``)."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from mailhost.finding import Finding
from runbook.progress import Progress
from runbook.record import Section

FOUND = (
    Finding("unit-active", "Dovecot runs", "pass"),
    *(
        Finding("cleartext", "Refused", "fail", subject=port, message="It is\nnot.", remedy="Set it.")
        for port in ("imap", "pop3")
    ),
    Finding("dates", "The dates hold", "unknown", message="No answer.", remedy="Look."),
    Finding("selinux", "Labels are right", "skip", message="No SELinux."),
)


def test_a_log_says_what_is_wrong_with_a_section() -> None:
    told = StringIO()
    section = Section(
        "06_audit", "Audit", "closed", "failed", "plan", 0, 9.5, 3, 1, None, None, FOUND, facts={}, error=None
    )
    Progress(Console(file=told, width=20)).ended(section)
    verdict, *wrong = [line.partition("] ")[2] for line in told.getvalue().splitlines()]
    assert verdict.split() == ["06_audit", "failed", "0", "changes", "9.5", "s"]
    assert wrong == [
        "06_audit  fail cleartext (imap, pop3): It is not.",
        "06_audit  unknown dates: No answer.",
    ]
