"""The true status of each cell, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mailhost import redact
from runbook import engine
from runbook.running import stoppable


def statuses(path: Path) -> dict[str, str]:
    cells = json.loads(path.read_text())["cells"]
    return {
        cell["id"]: cell["metadata"].get("runbook", {}).get("ended") or cell["metadata"]["papermill"]["status"]
        for cell in cells
        if (cell["cell_type"] == "code" and cell["id"].startswith("step")) or cell["id"] == "start"
    }


def texts(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join("".join(o.get("text", "")) for cell in cells for o in cell.get("outputs", ()))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.ipynb"


def test_a_notebook_that_runs_through_is_completed(project: Any, out: Path) -> None:
    cells: list[engine.Cell] = []
    source = "import sys; print(sys.executable, server)"
    done = engine.execute(project.notebook("n", source), out, {"server": "it"}, on_cell=cells.append)
    assert done.status == "completed"
    assert texts(out).split() == [sys.executable, "it"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [cell.id for cell in cells if cell.id in ("parameters", "start")] == ["parameters", "start"]
    assert {cell.heading for cell in cells} == {"A page"}


def test_an_error_leaves_the_later_cells_pending(project: Any, out: Path) -> None:
    done = engine.execute(project.notebook("n", "1/0", "2"), out, {})
    assert (done.status, done.name, done.error, done.cell) == (
        "error",
        "ZeroDivisionError",
        "division by zero",
        "start",
    )
    assert statuses(out) == {"start": "failed", "step-1": "pending"}
    assert "papermill-error" not in out.read_text()


def test_a_kernel_that_is_killed_is_no_completed_cell(project: Any, out: Path) -> None:
    done = engine.execute(project.notebook("n", "import os; os.kill(os.getpid(), 9)", "2"), out, {})
    assert done.status == "killed"
    assert statuses(out) == {"start": "killed", "step-1": "pending"}


def test_a_cell_out_of_time_is_no_completed_cell(project: Any, out: Path) -> None:
    done = engine.execute(project.notebook("n", "import time; time.sleep(60)", "2"), out, {}, timeout=1)
    assert done.status == "timed-out"
    assert statuses(out) == {"start": "timed-out", "step-1": "pending"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_the_cell_and_lets_it_tidy_up(project: Any, out: Path, number: signal.Signals) -> None:
    source = """
        import time
        try:
            print("busy", flush=True)
            time.sleep(60)
        finally:
            print("tidied")
    """
    began = threading.Event()
    timer = threading.Timer(1.5, os.kill, (os.getpid(), number))

    def on_cell(cell: engine.Cell) -> None:
        if cell.id == "start":
            began.set()
            timer.start()

    with stoppable():
        done = engine.execute(project.notebook("n", source, "2"), out, {}, on_cell=on_cell)
    assert began.is_set()
    assert done.status == "interrupted"
    assert "tidied" in texts(out)
    assert statuses(out) == {"start": "interrupted", "step-1": "pending"}


def test_no_kernel_and_no_socket_is_left(project: Any, out: Path) -> None:
    engine.execute(project.notebook("n", "import os; print(os.getpid())"), out, {})
    pid = int(texts(out))
    assert not Path(f"/proc/{pid}").exists()


def test_the_output_is_redacted(project: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", set())
    redact.register("s3cret-word")
    engine.execute(project.notebook("n", "print('s3cret' + '-word')"), out, {})
    assert "s3cret-word" not in texts(out)
    assert "***" in texts(out)


def test_a_prepared_copy_has_the_parameters_and_has_not_run(project: Any, out: Path) -> None:
    engine.prepare(project.notebook("n", "1/0"), out, {"server": "it"})
    notebook = json.loads(out.read_text())
    assert any('server = "it"' in "".join(cell["source"]) for cell in notebook["cells"])
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_the_kernel_of_the_next_notebook_waits_and_none_is_left(project: Any, out: Path) -> None:
    source = "import os, sys; print(os.getpid(), 'runbook.session' in sys.modules)"
    notebook = project.notebook("n", source)
    pids = []
    for more in (True, True, False):
        engine.execute(notebook, out, {}, more=more)
        pid, loaded = texts(out).split()
        pids.append(int(pid))
        assert loaded == "True"
        assert len(engine._waiting) == more
    assert len(set(pids)) == 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_kernel_that_nobody_comes_for_is_ended_and_one_that_died_is_replaced(project: Any, out: Path) -> None:
    notebook = project.notebook("n", "print('here')")
    engine.execute(notebook, out, {}, more=True)
    (kernel,) = engine._waiting
    os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)
    os.waitid(os.P_PID, kernel.manager.provisioner.pid, os.WEXITED | os.WNOWAIT)
    assert engine.execute(notebook, out, {}, more=True).status == "completed"
    (kernel,) = engine._waiting
    pid, folder = kernel.manager.provisioner.pid, kernel.log_file.parent
    engine.release()
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()
