"""The benchmark's page is what the checks say, and names findings that exist."""

from __future__ import annotations

from pathlib import Path

from mailhost.checks import benchmark
from runbook import benchmark as page

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run `make benchmark`"


def test_it_names_findings_that_are_listed() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = {name for entry in benchmark.ENTRIES for name in entry.findings}
    assert [name for name in sorted(named) if f"| `{name}` |" not in readme] == []
