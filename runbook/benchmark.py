"""``make benchmark``: the benchmark as a page, out of the checks themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mailhost.checks import benchmark
from mailhost.checks.benchmark.model import Entry
from mailhost.parse import log

PAGE = Path(__file__).with_name("BENCHMARK.md")
_HEAD = """\
# A hardening benchmark for Dovecot

Made from the checks by `make benchmark`; do not edit it. Section `06_audit` judges each check on a server, from what
the server does or from what is in force there, never from what a file was meant to say. A setting that is only taste
is not in it: an untouched server of the lab passes all of it. A number is never given to another check.
"""
_LINES = """\
## Log lines known to be harmless

Errors and warnings that Dovecot logs during a run are part of its verdict (DOV-6.1). These are not; a line that differs
in a word counts.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield _HEAD
    yield "| check | condition that must hold | severity | findings |"
    yield "|---|---|---|---|"
    for entry in benchmark.ENTRIES:
        yield f"| {entry.label} | {entry.title} | {entry.severity} | {_ids(entry)} |"
    for number, (title, entries) in enumerate(benchmark.CHAPTERS, 1):
        yield f"\n## {number}. {title}"
        for entry in entries:
            yield from _entry(entry)
    yield f"\n{_LINES}"
    yield "| Dovecot | line | why it may be ignored |"
    yield "|---|---|---|"
    for known in log.HARMLESS:
        yield f"| {known.seen} | `{known.example}` | {known.reason} |"


def _entry(entry: Entry) -> Iterator[str]:
    yield f"\n### {entry.label} {entry.title}\n"
    yield f"- severity: {entry.severity}; findings: {_ids(entry)}"
    yield f"- otherwise: {entry.why}"
    yield f"- measured: {entry.measured}"
    yield f"- remedy: {entry.remedy}"
    for version, words in (entry.spelled or {}).items():
        yield f"  - Dovecot {version}: {words}"
    yield f"- source: {entry.source}"


def _ids(entry: Entry) -> str:
    return ", ".join(f"`{name}`" for name in entry.findings)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"{PAGE} is written\n")
