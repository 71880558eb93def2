"""The true status of each cell, whatever ends it."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailhost import redact
from runbook import engine
from runbook.running import stoppable

EXECUTE = (
    "import sys; from pathlib import Path; from runbook import engine; "
    "engine.execute(Path(sys.argv[1]), Path(sys.argv[2]), {})"
)


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


def test_what_goes_wrong_afterwards_does_not_hide_how_the_notebook_ended(
    project: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = engine._Kernel.close

    def closes_badly(kernel: engine._Kernel) -> None:
        close(kernel)
        raise RuntimeError("no end")

    monkeypatch.setattr(engine._Kernel, "close", closes_badly)
    done = engine.execute(project.notebook("n", "1 / 0"), out, {"server": "it"})
    assert (done.status, done.name) == ("error", "ZeroDivisionError")
    assert "division by zero; then its kernel did not end as it should: RuntimeError: no end" in done.error
    with pytest.raises(RuntimeError, match="no end"):
        engine.execute(project.notebook("m", "1"), out, {"server": "it"})


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


@pytest.mark.parametrize("task", ["_async_poll_kernel_alive", "_async_poll_for_reply", "_async_poll_output_msg"])
def test_a_signal_that_comes_while_a_task_of_nbclients_runs_is_no_other_end(
    project: Any, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    mark = tmp_path / "tidied"
    source = f"""
        import time
        try:
            print("busy", flush=True)
            time.sleep(60)
        finally:
            time.sleep(0.2)
            open({str(mark)!r}, "w").close()
    """
    own = getattr(engine._Client, task)
    begun: list[str] = []

    async def hit(self: Any, *words: Any, **named: Any) -> Any:
        if begun == ["start"]:
            begun.append("hit")
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), signal.SIGTERM)
        return await own(self, *words, **named)

    def on_cell(cell: engine.Cell) -> None:
        if cell.id == "start":
            begun.append(cell.id)

    monkeypatch.setattr(engine._Client, task, hit)
    with stoppable():
        done = engine.execute(project.notebook("n", source, "2"), out, {}, on_cell=on_cell)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN, "one signal is enough"
    assert begun == ["start", "hit"]
    assert (done.status, done.error, done.cell) == ("interrupted", "stopped by SIGTERM", "start")
    assert statuses(out) == {"start": "interrupted", "step-1": "pending"}
    assert mark.exists(), "the cell has put things in order"


def test_a_signal_before_the_first_cell_leaves_all_cells_pending(
    project: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engine._Client.wait_for_reply

    def hit(self: Any, *words: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return own(self, *words)

    monkeypatch.setattr(engine._Client, "wait_for_reply", hit)
    with stoppable():
        done = engine.execute(project.notebook("n", "1", "2"), out, {})
    assert (done.status, done.error, done.cell) == ("interrupted", "stopped by SIGTERM", "")
    assert statuses(out) == {"start": "pending", "step-1": "pending"}


def test_a_signal_between_two_cells_leaves_the_next_one_pending(project: Any, out: Path) -> None:
    def on_cell(cell: engine.Cell) -> None:
        if cell.id == "step-1":
            os.kill(os.getpid(), signal.SIGTERM)

    with stoppable():
        before = signal.getsignal(signal.SIGINT)
        assert engine.execute(project.notebook("n", "1"), out, {}).status == "completed"
        assert signal.getsignal(signal.SIGINT) == before, "the handlers are those from before"
        done = engine.execute(project.notebook("n", "1", "2", "3"), out, {}, on_cell=on_cell)
    assert (done.status, done.cell) == ("interrupted", "step-1")
    assert statuses(out) == {"start": "completed", "step-1": "interrupted", "step-2": "pending"}


def test_no_kernel_and_no_socket_is_left(project: Any, out: Path) -> None:
    engine.execute(project.notebook("n", "import os; print(os.getpid())"), out, {})
    pid = int(texts(out))
    assert not Path(f"/proc/{pid}").exists()


def test_the_output_is_redacted(project: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", ())
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


def test_a_kernel_has_loaded_what_every_notebook_imports_and_is_its_own(project: Any, out: Path) -> None:
    source = """
        import os, sys
        print(os.getpid(), "pandas" in sys.modules and "runbook.session" in sys.modules, "mine" in globals())
        mine = os.environ["MINE"] = "here"
        print(os.getppid(), os.getsid(0) == os.getpid(), os.read(0, 1))
    """
    notebook = project.notebook("n", source)
    told = []
    for _ in range(2):
        engine.execute(notebook, out, {})
        told.append(texts(out).split())
    assert told[0][0] != told[1][0]
    assert told[0][1:] == told[1][1:]
    assert told[0][1:3] == ["True", "False"]
    assert told[0][4:] == ["True", "b''"]
    assert "MINE" not in os.environ


def test_a_kernel_sees_the_environment_as_it_is_by_now(
    project: Any, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notebook = project.notebook("n", "import os; print(os.environ.get('MINE'), os.getcwd())")
    engine.execute(notebook, out, {})
    assert texts(out).split() == ["None", str(Path.cwd())]
    monkeypatch.setenv("MINE", "here")
    monkeypatch.chdir(tmp_path)
    engine.execute(notebook, out, {})
    assert texts(out).split() == ["here", str(tmp_path)]


def test_where_the_process_that_forks_was_killed_there_is_another_one(project: Any, out: Path) -> None:
    notebook = project.notebook("n", "import os; print(os.getppid())")
    engine.execute(notebook, out, {})
    first = int(texts(out))
    os.kill(first, signal.SIGKILL)
    assert engine.execute(notebook, out, {}).status == "completed"
    assert int(texts(out)) != first


def test_a_command_that_is_killed_leaves_no_kernel_behind(project: Any, out: Path, tmp_path: Path) -> None:
    told = tmp_path / "pids"
    source = f"""
        import os, time
        with open({str(told)!r}, "w") as file: print(os.getpid(), os.getppid(), file=file)
        time.sleep(60)
    """
    notebook = project.notebook("n", source)
    command = subprocess.Popen([sys.executable, "-c", EXECUTE, str(notebook), str(out)])
    until(told.exists)
    until(lambda: len(told.read_text().split()) == 2)
    command.kill()
    command.wait()
    for pid in told.read_text().split():
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists())


def test_what_a_kernel_uses_counts_as_used_by_the_command(project: Any, out: Path) -> None:
    source = "import time; began = time.process_time()\nwhile time.process_time() - began < 4: pass"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", EXECUTE, str(project.notebook("n", source)), str(out)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert used > 4, "the command itself takes half of that"


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.1)
