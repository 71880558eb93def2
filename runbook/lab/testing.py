"""A lab of its own for every test run, gone when the run is over, and the count of what it used.

Loaded by pytest (``-p runbook.lab.testing`` in pyproject.toml). A run that was killed leaves its lab behind; the next
one removes it, told by the lock that no living process holds any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from pathlib import Path
from typing import IO

import pytest

from runbook.lab.place import JOURNAL, REPOSITORY, VARIABLE, machine_lock

_RUNS = REPOSITORY / ".lab" / "runs"
_held: list[IO[str]] = []  # the lock lasts as long as the file is open


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Choose the lab of this run, unless one is named already (by the user, or by the run that started this worker)."""
    if VARIABLE in os.environ:
        return
    _RUNS.mkdir(parents=True, exist_ok=True)
    root = _RUNS / uuid.uuid4().hex[:8]
    with machine_lock("runs"):
        for old in _RUNS.iterdir():
            _remove_if_dead(old)
        root.mkdir()
        handle = (root / "run.lock").open("w")
        fcntl.flock(handle, fcntl.LOCK_EX)
    _held.append(handle)
    os.environ[VARIABLE] = str(root)
    os.environ[JOURNAL] = str(root / "journal")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a live test that did not run is a failure: it would otherwise pass unseen."""
    if "CI" in os.environ and _held and _live(session.config, "skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many live tests ran, on how many servers; and what the contract came to on each."""
    if not _held:
        return
    config = terminalreporter.config
    for line in (*_mutations(terminalreporter), *_contract(terminalreporter)):
        terminalreporter.write_line(line)
    run = sum(_live(config, outcome) for outcome in ("passed", "failed", "error"))
    journal = Path(os.environ[JOURNAL])
    starts = [float(line.split()[0]) for line in journal.read_text().splitlines()] if journal.exists() else []
    slowest = f" (slowest start {max(starts):.1f} s)" if starts else ""
    terminalreporter.write_line(
        f"lab servers used: {len(starts)}{slowest}, live tests run: {run}, skipped: {_live(config, 'skipped')}"
    )


def _mutations(reporter: pytest.TerminalReporter) -> list[str]:
    """``mutations caught: N / ALL``: rows of broken servers whose finding was found, and nothing else.

    A row that captured output stands in for is caught where the test that it names has passed in this run.
    """
    reports = [
        (report, dict(report.user_properties), outcome)
        for outcome in ("passed", "failed", "error", "skipped")
        for report in reporter.stats.get(outcome, ())
        if hasattr(report, "user_properties")
    ]
    passed = {_test(report) for report, _, outcome in reports if outcome == "passed"}
    bad = {_test(report) for report, _, outcome in reports if outcome in ("failed", "error")}
    rows = {report.nodeid: (told, outcome) for report, told, outcome in reports if "mutation" in told}
    if not rows:
        return []
    live = [outcome == "passed" for told, outcome in rows.values() if "captured" not in told]
    captured = [told["captured"] in passed - bad for told, _ in rows.values() if "captured" in told]
    names = {told["mutation"] for told, _ in rows.values()}
    words = f"on lab servers {sum(live)} / {len(live)}, by captured output {sum(captured)} / {len(captured)}"
    return [f"mutations caught: {sum(live) + sum(captured)} / {len(rows)} ({words}), of {len(names)} findings"]


def _test(report: pytest.TestReport) -> str:
    """File and function, without the case."""
    return str(report.nodeid).partition("[")[0]


def _contract(reporter: pytest.TerminalReporter) -> list[str]:
    """A table server x contract, of the tests that say which row and which column they are."""
    cells: dict[str, dict[str, str]] = {}
    for outcome, mark in (("passed", "ok"), ("skipped", "-"), ("error", "ERROR"), ("failed", "FAIL")):
        for report in reporter.stats.get(outcome, ()):
            told = dict(getattr(report, "user_properties", ()))
            if "row" in told and "column" in told:
                cells.setdefault(told["row"], {})[told["column"]] = mark
    if not cells:
        return []
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    width = max(len(row) for row in cells) + 2
    head = "contract".ljust(width) + "".join(f"{column}  " for column in columns)
    rows = [
        name.ljust(width) + "".join(row.get(column, "").ljust(len(column) + 2) for column in columns)
        for name, row in sorted(cells.items())
    ]
    return [head.rstrip(), *(line.rstrip() for line in rows)]


def pytest_unconfigure() -> None:
    """Remove this run's lab."""
    while _held:
        root = Path(os.environ.pop(VARIABLE))
        os.environ.pop(JOURNAL)
        _remove(root)
        _held.pop().close()


def _live(config: pytest.Config, outcome: str) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return (
        sum("live" in getattr(report, "keywords", ()) for report in reporter.stats.get(outcome, ())) if reporter else 0
    )


def _remove_if_dead(root: Path) -> None:
    try:
        with (root / "run.lock").open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(root)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return  # alive, or another run removes it, or just being made


def _remove(root: Path) -> None:
    if (root / "next-address").exists():  # a server was started in it
        from runbook.lab.lifecycle import clear
        from runbook.lab.place import Place

        clear(Place(root))
    shutil.rmtree(root, ignore_errors=True)
