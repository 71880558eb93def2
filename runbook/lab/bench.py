"""``make bench``: what a first run, a second run and an audit cost, on a fresh throw-away server.

CPU and memory are those of this machine, the command and all processes below it; the server's own are not in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from runbook import lab

_NAME = "bench"
_EVERY = 0.05  # seconds between two looks at the memory
_COMMANDS = {
    "first run": ["run", _NAME, "--mode", "apply", "--json"],
    "second run": ["run", _NAME, "--mode", "apply", "--json"],
    "audit": ["audit", _NAME, "--json"],
}


@dataclass(frozen=True)
class Cost:
    """One command: its summary, seconds on the clock and of CPU, and the most memory in use at once, in MB."""

    summary: dict[str, Any]
    wall: float
    cpu: float
    peak: float


def main() -> int:
    """Measure and print; 0 where every command ended as wanted."""
    if reason := lab.available():
        sys.stderr.write(f"{reason}\n")
        return 1
    told = Console(stderr=True)
    try:
        if lab.find(_NAME):
            lab.down([_NAME])
        lab.up(
            _NAME, sys.argv[1] if len(sys.argv) > 1 else "debian12", progress=lambda text: told.print(f"lab: {text}")
        )
        costs = {title: measure(words) for title, words in _COMMANDS.items()}
    except lab.LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        if lab.find(_NAME):
            lab.down([_NAME])
    out = Console()
    if not out.is_terminal:
        out.width = 110  # a log file has no width of its own, and the usual 80 columns break the table
    out.print(_table(costs))
    return 0 if all(cost.summary["verdict"] == "as-wanted" for cost in costs.values()) else 1


def measure(words: list[str]) -> Cost:
    """Run ``runbook`` with ``words`` (``--json`` among them) and count what it takes."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "runbook", *words]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # wait4 instead of the module's own waiting: it alone tells what the command and all below it have used.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        peak = 0.0
        while True:
            peak = max(peak, _memory(child.pid))
            time.sleep(_EVERY)
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
        wall = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        said, complained = _text(out), _text(err)
    try:
        summary: dict[str, Any] = json.loads(said)
    except json.JSONDecodeError as error:
        last = "\n".join(complained.splitlines()[-15:])
        raise lab.LabError(f"`{' '.join(command)}` ended with {child.returncode} and no summary:\n{last}") from error
    return Cost(summary, wall, usage.ru_utime + usage.ru_stime, peak)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _memory(root: int) -> float:
    """Memory of a process and all below it in MB, pages shared between them counted once."""
    wanted, total = [root], 0
    while wanted:
        process = Path("/proc") / str(wanted.pop())
        try:
            wanted += [
                int(pid) for task in (process / "task").iterdir() for pid in (task / "children").read_text().split()
            ]
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # ended meanwhile
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _table(costs: dict[str, Cost]) -> Table:
    table = Table(title="what it costs", caption="CPU and memory of this machine, the server's not counted")
    for column in ("", "verdict", "changes", "wall s", "CPU s", "peak MB", "round trips", "connections"):
        table.add_column(column, justify="left" if column in ("", "verdict") else "right")
    for title, cost in costs.items():
        summary = cost.summary
        measured = (f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}")
        counted = (str(summary["round_trips"]), str(summary["connections"]))
        table.add_row(title, summary["verdict"], str(summary["changes"]), *measured, *counted)
    return table


if __name__ == "__main__":
    sys.exit(main())
