"""``make demo``: a fresh server, the whole runbook on it, twice, and where the record lies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from runbook import lab

_NAME = "demo"
_SHOWN = "as-wanted"


def main() -> int:
    """Run the demo; 0 where both runs end as wanted and the second changes nothing."""
    if reason := lab.available():
        sys.stderr.write(f"{reason}\n")
        return 1
    told = Console(stderr=True)
    try:
        if lab.find(_NAME):
            lab.down([_NAME])
        server = lab.up(_NAME, "debian12", progress=lambda text: told.print(f"lab: {text}"))
        told.print(f"lab: {server.hostname} is up at {server.address} and {server.address6}: Debian 12, no Dovecot")
        runs = [_run(told, "first run"), _run(told, "second run")]
    except lab.LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        _leave_nothing()
    return _report(runs)


def _run(told: Console, title: str) -> dict[str, Any]:
    told.rule(f"{title}: runbook run {_NAME} --mode apply")
    # Progress goes to standard error and so past us to the person; standard output is the summary.
    command = [sys.executable, "-m", "runbook", "run", _NAME, "--mode", "apply", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)
    try:
        summary: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise lab.LabError(
            f"`{' '.join(command)}` ended with {done.returncode} and printed no summary; what it said stands above."
        ) from error
    return summary


def _report(runs: list[dict[str, Any]]) -> int:
    first, second = runs
    table = Table(title=f"dovecot-runbook on {_NAME}.{lab.DOMAIN}, Debian 12")
    table.add_column("section")
    for title in ("first run", "changes", "s", "second run", "changes", "s"):
        table.add_column(title, justify="left" if "run" in title else "right")
    again = {section["name"]: section for section in second["sections"]}
    for section in first["sections"]:
        table.add_row(section["name"], *_cells(section), *_cells(again.get(section["name"], {})))
    table.add_section()
    table.add_row("all", *_cells(first), *_cells(second))

    out = Console()
    out.print(table)
    for title, run in (("first", first), ("second", second)):
        counts = ", ".join(f"{number} {status}" for status, number in run["findings"].items())
        trips = f"{run['round_trips']} round trips over {run['connections']} connections"
        out.print(f"{title} run: findings {counts}; {trips}", soft_wrap=True)
        record = Path(run["record"])
        out.print(f"  record: {record}", soft_wrap=True)
        out.print(f"  look at: {record / 'index.html'}", soft_wrap=True)
        out.print(f"  check it: .venv/bin/runbook verify {record}", soft_wrap=True)

    complaints = [f"the {title} run ended {run['verdict']}" for title, run in (("first", first), ("second", second))
                  if run["verdict"] != _SHOWN]  # fmt: skip
    if second["changes"]:
        complaints.append(f"the second run made {second['changes']} changes; there was nothing left to change")
    if complaints:
        out.print(f"[bold red]The demo failed:[/] {'; '.join(complaints)}. The records above say why.", soft_wrap=True)
        return 1
    out.print("[bold green]The demo passed:[/] both runs as wanted, nothing left to change in the second.")
    return 0


def _cells(run: dict[str, Any]) -> tuple[str, str, str]:
    return (
        str(run.get("verdict", "-")),
        str(run.get("changes", "-")),
        f"{run['seconds']:.1f}" if "seconds" in run else "-",
    )


def _leave_nothing() -> None:
    if lab.find(_NAME):
        lab.down([_NAME])
    if not lab.servers():
        lab.down()  # the resolver and the network too, unless other servers of this checkout need them


if __name__ == "__main__":
    sys.exit(main())
