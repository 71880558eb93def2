"""Runs a notebook in a kernel of its own and says how each cell ended. The only papermill.

papermill's own engine tells too little: a cell that ran out of time is recorded as completed, one whose kernel was
killed as running. Ours sets the true status, writes its file redacted, whole and 0600, and speaks to the kernel
through sockets in a private folder, so that neither a port nor another user of the machine comes in between.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Self

from runbook.kernel import Forked
from runbook.record.folder import scrub, write
from runbook.spared import costly_imports

with costly_imports():
    import nbformat
    import papermill
    import papermill.engines
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner
    from jupyter_core.utils import run_sync
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient

Status = Literal["completed", "error", "killed", "timed-out", "interrupted"]

_NAME = "dovecot-runbook"
_BY_HAND = "stopped by Ctrl-C"
_GRACE = 5  # seconds that an interrupted cell is given to put things in order
_SAVE_EVERY = 1.0  # seconds; a notebook of many tables takes a while to write, and the transcript is written at once
_LONGEST = 40  # characters of a folder for sockets, whose whole path may have 107


@dataclass(frozen=True)
class Cell:
    """The cell that runs now; ``heading`` is the nearest one above it."""

    index: int
    total: int
    id: str
    heading: str


@dataclass(frozen=True)
class Executed:
    """How a notebook ended.

    status  ``completed``; ``error``: a cell raised; ``killed``: the kernel died; ``timed-out``; ``interrupted``: by us
    error   the exception's text, or what happened
    name    the exception's class, for ``error``
    cell    the id of the cell where it ended, for anything but ``completed``
    """

    status: Status
    seconds: float
    error: str = ""
    name: str = ""
    cell: str = ""


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    on_cell: Callable[[Cell], None] | None = None,
    timeout: int | None = None,
) -> Executed:
    """Execute a notebook into ``output`` and say how it ended; only a defect of ours raises.

    ``timeout`` is for one cell, in seconds. After KeyboardInterrupt the cell is interrupted, the output is written
    and the status is ``interrupted``.
    """
    started = time.monotonic()
    state = _State(on_cell or (lambda _: None), output)
    try:
        with closing(_Kernel()) as kernel:
            papermill.execute_notebook(
                str(notebook),
                None,  # our engine writes the file itself: whole, redacted, 0600
                dict(parameters),
                engine_name=_NAME,
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=timeout,
                state=state,
                kernel=kernel,
            )
    except papermill.PapermillExecutionError as error:
        if state.status == "completed":  # the state knows more, as a rule
            state.status, state.error, state.name = "error", str(error.evalue), str(error.ename)
    except KeyboardInterrupt as stopped:  # outside of a cell: while the kernel starts or ends
        state.status, state.error = "interrupted", str(stopped) or _BY_HAND
    except Exception as error:
        if state.status == "completed":
            raise
        # how the notebook ended is known, and stays the verdict
        state.error += f"; then its kernel did not end as it should: {type(error).__name__}: {error}"
    return Executed(state.status, round(time.monotonic() - started, 3), state.error, state.name, state.cell)


def prepare(notebook: Path, output: Path, parameters: Mapping[str, Any]) -> None:
    """Write a copy of a notebook with these parameters in it, 0600, without running it."""
    made = papermill.execute_notebook(str(notebook), None, dict(parameters), prepare_only=True, progress_bar=False)
    made.metadata.pop("papermill", None)  # the copy is there to be run, it was not
    _write(made, output)


class _Kernel:
    """A kernel that starts, with a folder of its own for its sockets and its log."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="runbook-", dir=_runtime_folder())
        sockets = Path(self._folder.name)
        self.log_file = sockets / "kernel.log"
        self.manager = _Manager(
            kernel_name="python3",
            transport="ipc",
            ip=str(sockets / "k"),
            connection_file=str(sockets / "kernel.json"),
        )
        self.manager.provisioner = _Provisioner(
            kernel_id=sockets.name, kernel_spec=self.manager.kernel_spec, parent=self.manager
        )
        run_sync(self.manager.start_kernel)(log=self.log_file)

    def close(self) -> None:
        """End it, if it has not ended, and remove its folder."""
        if self.manager.has_kernel:
            run_sync(self.manager.shutdown_kernel)(now=True)
            run_sync(self.manager.cleanup_resources)()
        self._folder.cleanup()


class _Manager(AsyncKernelManager):
    """Starts kernels of ours, whatever kernelspecs are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=["-f", "{connection_file}"], display_name="Python 3", language="python")


class _Provisioner(LocalProvisioner):
    """Has a kernel forked instead of started anew."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        kernel = Forked(cmd, kwargs["env"], kwargs["log"])
        self.process = kernel  # type: ignore[assignment]  # it has what is asked of a Popen
        self.pid = self.pgid = kernel.pid
        return self.connection_info


@dataclass
class _State:
    """What is known of an execution while it goes on."""

    on_cell: Callable[[Cell], None]
    output: Path
    status: Status = "completed"
    error: str = ""
    name: str = ""
    cell: str = ""

    def ended(self, cell: Any, status: Status, error: str, name: str = "") -> None:
        """Note a bad end, on the cell too: ``failed`` for papermill's readers, our own word for ours."""
        self.status, self.error, self.name, self.cell = status, error, name, str(cell.get("id", ""))
        cell.metadata.papermill["status"] = "failed"
        cell.metadata.papermill["exception"] = True
        if status != "error":
            cell.metadata["runbook"] = {"ended": status}


class _Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """Runs the cells one by one until one does not end well."""

    state: _State
    log_file: Path
    signals: _Signals
    saved: float = 0.0

    def execute(self) -> None:
        """Speak to the kernel, run the cells, end the kernel."""
        self.reset_execution_trackers()
        with _Signals() as self.signals, self.setup_kernel():
            info = self.wait_for_reply(self.kc.kernel_info())
            self.nb.metadata["language_info"] = info["content"]["language_info"]
            self.papermill_execute_cells()

    def papermill_execute_cells(self) -> None:
        heading = ""
        for index, cell in enumerate(self.nb.cells):
            self.signals.act()
            heading = _heading(cell) or heading
            if cell.cell_type == "code":
                self.state.on_cell(Cell(index, len(self.nb.cells), str(cell.get("id", "")), heading))
            self.nb_man.cell_start(cell, index)
            try:
                self._run(cell, index)
            finally:
                self.nb_man.cell_complete(cell, cell_index=index)
                self._save()
            if self.state.status != "completed":
                if index < len(self.nb.cells) - 1 or self.state.status == "interrupted":
                    # the kernel may still hold a connection or a temporary account: let it end by itself
                    self.shutdown_kernel = "graceful"
                return

    def _save(self) -> None:
        """Write the file as it is by now, unless that was done just now; at the end it is written anyway."""
        if time.monotonic() - self.saved >= _SAVE_EVERY:
            _write(self.nb, self.state.output)
            self.saved = time.monotonic()

    def _run(self, cell: Any, index: int) -> None:
        try:
            run_sync(self._cell)(cell, index)
            self.signals.act()
        except CellExecutionError as error:
            self.state.ended(cell, "error", str(error.evalue), str(error.ename))
        except CellTimeoutError:
            self.state.ended(cell, "timed-out", f"no end within {self.timeout} s")
        except DeadKernelError:
            last = self.log_file.read_text(errors="replace").strip().splitlines()[-1:]
            why = last[0] if last else "killed, or out of memory"
            self.state.ended(cell, "killed", f"the kernel died while this cell ran ({why})")
        except KeyboardInterrupt as stopped:
            self.state.ended(cell, "interrupted", str(stopped) or _BY_HAND)

    async def _cell(self, cell: Any, index: int) -> None:
        """Run a cell; where a signal comes, interrupt it and give it a moment to put things in order."""
        work = asyncio.ensure_future(self.async_execute_cell(cell, index))
        coming = asyncio.ensure_future(self.signals.come())
        await asyncio.wait({work, coming}, return_when=asyncio.FIRST_COMPLETED)
        coming.cancel()
        if not self.signals.came:
            await work
            return
        if not work.done():
            await self.km.interrupt_kernel()
            await asyncio.wait({work}, timeout=_GRACE)
        # however it ends, and when: asked for, so that asyncio does not print it
        work.add_done_callback(lambda task: task.cancelled() or task.exception())
        work.cancel()


class _Signals:
    """Signals that come while a notebook runs, and are acted on where that tears nothing.

    What their handlers raise (KeyboardInterrupt) could come up in any of nbclient's tasks. asyncio would raise it
    again in each that waits for that one, while the kernel is ended, and the run would end by that error.
    """

    def __init__(self) -> None:
        self.came: int | None = None
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._wake: Callable[[], object] = lambda: None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
        self.act()

    async def come(self) -> None:
        """Wait for the first of them."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(event.set)
        if self.came:
            event.set()
        await event.wait()

    def act(self) -> None:
        """Do what was to be done about a signal that has come, which is to raise KeyboardInterrupt as a rule."""
        if self.came:
            number, self.came = self.came, None
            self._handlers[number](number, None)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.came = self.came or number
        self._wake()


class _Engine(papermill.engines.NBClientEngine):  # type: ignore[misc]  # papermill has no types
    """papermill's engine with our kernel, our client and our file."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, *, state: _State, **kwargs: Any) -> Any:
        nb.metadata.papermill["output_path"] = state.output.name
        for cell in nb.cells:
            if "injected-parameters" in cell.metadata.get("tags", ()):
                cell["id"] = "injected-parameters"  # as readable as the other ids are
        try:
            return super().execute_notebook(nb, kernel_name, state=state, **kwargs)
        finally:
            for cell in nb.cells:
                if not cell.metadata.papermill.get("start_time"):
                    cell.metadata.papermill["status"] = "pending"  # papermill says completed
            _write(nb, state.output)  # before papermill puts cells of its own about the error in

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, state: _State, kernel: _Kernel, **kwargs: Any
    ) -> None:
        client = _Client(
            nb_man,
            km=kernel.manager,
            kernel_name=kernel_name,
            timeout=kwargs.get("execution_timeout"),
            startup_timeout=kwargs.get("start_timeout", 60),
            shutdown_kernel="immediate",
        )
        client.owns_km = True  # nbclient leaves a manager's kernel running unless it made the manager
        client.state = state
        client.log_file = kernel.log_file
        client.execute()


# By hand and not by an entry point: a broken plug-in would break `import papermill` for everybody.
papermill.engines.papermill_engines.register(_NAME, _Engine)


def _write(notebook: Any, path: Path) -> None:
    clean = nbformat.from_dict(scrub(notebook))  # type: ignore[no-untyped-call]
    write(path, str(nbformat.writes(clean)).rstrip("\n") + "\n")  # type: ignore[no-untyped-call]


def _runtime_folder() -> str | None:
    """Where sockets go: the user's own folder for such things, else the usual temporary one."""
    folder = os.environ.get("XDG_RUNTIME_DIR")
    return folder if folder and os.access(folder, os.W_OK) and len(folder) < _LONGEST else None


def _heading(cell: Any) -> str:
    """The last heading in a cell of prose."""
    if cell.cell_type != "markdown":
        return ""
    lines = [line.lstrip("#").strip() for line in cell.source.splitlines() if line.startswith("#")]
    return lines[-1] if lines else ""
