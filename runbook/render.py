"""HTML of a record: its first page, and each notebook. It opens offline and names no other site."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from mailhost.finding import Finding, counts, worst_first
from runbook.offline import offline
from runbook.record import Record
from runbook.record.attach import MIME
from runbook.spared import costly_imports

_TEMPLATES = Path(__file__).with_name("templates")


def index(record: Record, manifest: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> str:
    """A record's first page: verdict and findings first, then who, what and when, sections and files."""
    rows = alike(_sorted(record))

    def with_status(*statuses: str) -> list[dict[str, Any]]:
        return [
            {"section": section, "finding": found[0], "all": found}
            for section, found in rows
            if found[0].status in statuses
        ]

    return offline(
        _environment()
        .get_template("index.html.j2")
        .render(
            record=record,
            manifest=manifest,
            files=files,
            css=_css(),
            changes=changes(record.path),
            attention=with_status("fail", "unknown"),
            skipped=with_status("skip"),
            passed=[pair for pair in _sorted(record) if pair[1].status == "pass"],
            totals=counts(finding for _, finding in record.findings),
            said=VERDICT_SENTENCES.get(str(manifest["verdict"]), ""),
        )
    )


def alike(findings: Iterable[tuple[str, Finding]]) -> list[tuple[str, list[Finding]]]:
    """Findings with their section; those that say the same of several subjects stand together."""
    groups: dict[tuple[str, Finding], list[Finding]] = {}
    for section, finding in findings:
        same = replace(finding, subject="", actual="", evidence=())
        groups.setdefault((section, same), []).append(finding)
    return [(section, found) for (section, _), found in groups.items()]


VERDICT_SENTENCES = {
    "as-wanted": "The server is as its sheet says.",
    "pending": "Changes are still to be made; what waits for them was not judged. Run it with --mode apply.",
    "failed": "The server is not as its sheet says.",
    "unknown": "Something could not be found out, and what is not known is not passed.",
    "no-go": "A condition that must hold before anything is touched does not hold.",
    "interrupted": "The run was interrupted: what it had begun may be half done. Run it again.",
}


def notebook(path: Path, *, back: str | None = None) -> str:
    """An executed notebook as one HTML page: prose and outputs open, code folded away."""
    body, _ = _exporter().from_filename(str(path), {"css": _css(), "back": back})
    return offline(body)


def changes(record: Path) -> list[dict[str, Any]]:
    """The changes that the record's notebooks show, in their order: section, title, state and diff.

    When applying, those that were made, undone or failed; when planning, those that were shown.
    """
    found: list[dict[str, Any]] = []
    for file in sorted(record.glob("*.ipynb")):
        shown: list[dict[str, Any]] = []
        for cell in json.loads(file.read_text(encoding="utf-8")).get("cells", ()):
            for output in cell.get("outputs", ()):
                bundle = output.get("data", {}).get(MIME)
                rows = bundle.get("changes") if isinstance(bundle, dict) else None
                if isinstance(rows, list):
                    shown += [{"section": file.stem} | row for row in rows if isinstance(row, dict)]
        diffs = {row.get("title"): row.get("diff") for row in shown if row.get("diff")}
        acted = [row for row in shown if row.get("state") not in ("planned", "not made")]
        found += [row | {"diff": row.get("diff") or diffs.get(row.get("title"))} for row in acted or shown]
    return [row for row in found if row.get("state") != "not made"]


def _sorted(record: Record) -> list[tuple[str, Finding]]:
    where = {id(finding): section for section, finding in record.findings}
    return [(where[id(finding)], finding) for finding in worst_first(finding for _, finding in record.findings)]


def _title(cells: list[Any]) -> str:
    """The first heading of a notebook."""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for line in str(cell["source"]).splitlines():
                if line.startswith("#"):
                    return line.lstrip("# ").strip()
    return "Notebook"


def _when(value: str | None) -> str:
    """A time as people read it; it is UTC and says so."""
    if not value:
        return "-"
    try:
        return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return value


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


@cache
def _exporter() -> Any:
    """One exporter for all notebooks, so that its template is compiled once; nbconvert costs half a second."""
    with costly_imports():
        from nbconvert.exporters.templateexporter import TemplateExporter
        from nbconvert.filters.highlight import Highlight2HTML

    class Page(TemplateExporter):
        """HTML by our template; HTMLExporter would parse all of it once more, to no use of ours."""

        file_extension = ".html"
        output_mimetype = "text/html"

    page: Any = Page  # nbconvert has no types worth the name
    made = page(template_name="runbook", extra_template_basedirs=[str(_TEMPLATES)])
    highlight: Any = Highlight2HTML
    made.register_filter("highlight_code", highlight(pygments_lexer="ipython3", parent=made))
    made.environment.filters["heading_of"] = _title
    return made


@cache
def _css() -> str:
    return (_TEMPLATES / "record.css").read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"when": _when, "seconds": _seconds}
    return environment
