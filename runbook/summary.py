"""What a run came to: as JSON for programs, as a table and a list of findings for people; and its exit code."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailhost.finding import STATUS_ORDER, counts
from runbook.progress import TONES
from runbook.record import Record
from runbook.record.folder import MANIFEST, read_json
from runbook.render import alike

EXIT = {"as-wanted": 0, "pending": 2}  # every other verdict is 1


def exit_code(verdict: str) -> int:
    """0 as wanted, 2 pending, 1 for the rest."""
    return EXIT.get(verdict, 1)


def summary(record: Record) -> dict[str, Any]:
    """The run in figures, for ``--json``."""
    return {
        "server": record.run["server"],
        "record": str(record.path),
        "mode": record.run["mode"],
        "verdict": record.verdict,
        "changes": record.changes,
        "findings": counts(finding for _, finding in record.findings),
        "sections": [
            {
                "name": section.name,
                "verdict": section.verdict,
                "changes": section.changes,
                "seconds": round(section.seconds, 2),
            }
            for section in record.sections
        ],
        "round_trips": sum(section.round_trips for section in record.sections),
        "connections": sum(section.connections for section in record.sections),
        "seconds": _took(record),
    }


def _took(record: Record) -> float:
    """From the run's start to its record's seal; while there is none, what its sections took."""
    if not record.digest:
        return round(sum(section.seconds for section in record.sections), 2)
    closed = datetime.fromisoformat(read_json(record.path / MANIFEST)["closed"])
    return round((closed - datetime.fromisoformat(record.run["started"])).total_seconds(), 2)


def show(record: Record, console: Console) -> None:
    """Print verdict and sections, each finding that is not a pass with its remedy, and where the record lies."""
    _sections(record, console)
    _errors(record, console)
    _findings(record, console)
    tone = TONES.get(record.verdict, "")
    planned = " planned" if record.run["mode"] == "plan" else ""
    console.print()
    console.print(
        Text("verdict   ").append(record.verdict, style=f"bold {tone}").append(f", {record.changes} changes{planned}")
    )
    for name, value in (
        ("record", str(record.path)),
        ("html", str(record.path / "index.html") if record.digest else ""),
        ("digest", record.digest),
    ):
        if value:
            console.print(f"{name:<9} {value}", markup=False, highlight=False, soft_wrap=True)


def _sections(record: Record, console: Console) -> None:
    console.print(f"{record.run['server']} ({record.run['mode']})", markup=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("section")
    table.add_column("verdict")
    for name in ("changes", "pass", "fail", "skip", "unknown", "trips", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for section in record.sections:
        row = [str(section.changes), *(str(section.counts[s]) for s in ("pass", "fail", "skip", "unknown"))]
        verdict = Text(section.verdict, style=TONES.get(section.verdict, ""))
        table.add_row(section.name, verdict, *row, str(section.round_trips), f"{section.seconds:.1f}")
    console.print(table)


def _errors(record: Record, console: Console) -> None:
    left_out: dict[str, list[str]] = {}
    for section in record.sections:
        if section.state == "not-run":
            left_out.setdefault(section.error or "", []).append(section.name)
        elif section.error:
            console.print()
            head = Text(f"{section.name}: ", style="bold red")
            console.print(head.append(section.error, style="not bold"), soft_wrap=True)
    for reason, names in left_out.items():
        console.print()
        console.print(Text(f"not run: {', '.join(names)}: ", style="dim").append(reason), soft_wrap=True)


def _findings(record: Record, console: Console) -> None:
    """Each finding that is not a pass; those that say the same of several subjects stand together."""
    groups = alike(pair for pair in record.findings if pair[1].status != "pass")
    for section, found in sorted(groups, key=lambda group: STATUS_ORDER[group[1][0].status]):
        f = found[0]
        tone = {"fail": "bold red", "unknown": "bold yellow"}.get(f.status, "dim")
        head = Text(f"{f.status:<8}", style=tone).append(f" {section}  {f.id}", style="not bold")
        on = ", ".join(one.subject for one in found if one.subject)
        console.print()
        console.print(head.append(f"  {on}" if on else ""), soft_wrap=True)
        for text in (f.message, f"To do: {f.remedy}" if f.remedy else ""):
            if text:
                console.print(f"         {' '.join(text.split())}", markup=False, highlight=False, soft_wrap=True)
