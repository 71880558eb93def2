"""Kernels for a run, forked from one process that has loaded what every notebook imports.

A kernel that is started anew takes a second of CPU to import pandas and Fabric; a forked one takes a tenth of that.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from mailhost import prompt
from runbook.forking import PID_BYTES

_NO_HISTORY = "--HistoryManager.hist_file=:memory:"  # in nobody's home


class Forked:
    """A kernel's process, with what jupyter_client asks of a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        reading, writing = os.pipe()
        self._lives, held = os.pipe()
        try:
            self.pid = _fork(reading, held)
        finally:
            os.close(reading)
            os.close(held)
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            given = {
                "arguments": [*arguments, _NO_HISTORY],
                "environment": dict(environment),
                "folder": str(Path.cwd()),
                "log": str(log),
                "typed": prompt.typed(),
            }
            json.dump(given, pipe)

    def __del__(self) -> None:
        os.close(self._lives)

    def poll(self) -> int | None:
        """None while it runs."""
        return self._ended(0)

    def wait(self) -> int | None:
        """Wait for its end."""
        return self._ended(None)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        """0 once nobody holds the other end of its pipe: how it ended, its own parent has not asked."""
        readable, _, _ = select.select([self._lives], [], [], timeout)
        return 0 if readable else None


class _Forker:
    """The process that forks, in a session of its own: a signal that ends the command leaves kernels time."""

    def __init__(self) -> None:
        self._asking, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runbook.forking", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def close(self) -> None:
        """Let it end, and wait for that: what kernels have used counts as used by this process."""
        self._asking.close()
        self._process.wait()

    def fork(self, descriptors: Sequence[int]) -> int:
        """The process id of a new kernel that holds these."""
        socket.send_fds(self._asking, [b"?"], descriptors)
        answer = self._asking.recv(PID_BYTES, socket.MSG_WAITALL)
        if len(answer) < PID_BYTES:
            raise ConnectionResetError("the process that forks kernels has ended")
        return int.from_bytes(answer, "big")


@cache
def make_ready() -> _Forker:
    """Start the process that forks, if it was not yet; its imports go on while this one does something else."""
    forker = _Forker()
    atexit.register(forker.close)
    return forker


def _fork(*descriptors: int) -> int:
    try:
        return make_ready().fork(descriptors)
    except ConnectionError:  # somebody has ended it
        make_ready.cache_clear()
        return make_ready().fork(descriptors)
