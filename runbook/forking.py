"""The process that kernels are forked from: it imports what every notebook needs, and does nothing else.

`runbook.kernel` starts it with one end of a socket. A byte that comes with two descriptors asks for a kernel, which
reads from the first what it is given and holds the second open for as long as it lives; its process id is the answer.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from typing import Any

PID_BYTES = 8


def serve(asked: socket.socket) -> None:
    """Fork kernels until nobody can ask for one any more."""
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        byte, descriptors, _, _ = socket.recv_fds(asked, 1, 2)
        if not byte:
            return
        pid = os.fork()
        if not pid:
            asked.close()  # held open, it would keep this process when the one that asked is killed
            _be_a_kernel(descriptors[0])
        for descriptor in descriptors:
            os.close(descriptor)
        asked.sendall(pid.to_bytes(PID_BYTES, "big"))


def _reap(_number: int, _frame: object) -> None:
    """Take notice of kernels that have ended: what they have used counts as used by this process."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _be_a_kernel(told: int) -> None:
    from ipykernel.kernelapp import launch_new_instance

    from mailhost import prompt

    os.setsid()  # a Ctrl-C at the terminal is for the command only
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with os.fdopen(told, encoding="utf-8") as pipe:
        given: dict[str, Any] = json.load(pipe)
    os.environ.clear()
    os.environ.update(given["environment"])
    os.chdir(given["folder"])
    log = os.open(given["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    prompt.take(given["typed"])
    sys.argv = ["ipykernel_launcher", *given["arguments"]]
    launch_new_instance(argv=[*given["arguments"], f"--IPKernelApp.parent_handle={os.getppid()}"])
    os._exit(0)


def main() -> None:
    """Import, then fork."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy would start threads, and a process that forks has none
    from runbook.spared import costly_imports

    with costly_imports():
        import ipykernel.kernelapp  # noqa: F401
        import pandas  # noqa: F401, ICN001

        import runbook.session  # noqa: F401
    gc.freeze()  # what is loaded stays, and its memory is shared while nobody writes to it
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        serve(asked)
    os._exit(0)  # there is nothing to tidy up


if __name__ == "__main__":
    main()
