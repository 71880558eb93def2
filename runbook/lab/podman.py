"""The only module that calls podman, always with a list of arguments."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from typing import Any, NamedTuple

from runbook.lab.errors import LabError

# Debian puts runc into /usr/sbin, which a user's PATH may lack.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))

_TRIES = 3


class Ran(NamedTuple):
    """What a command on a lab server did: exit code, standard output, standard error."""

    rc: int
    out: str
    err: str


def which(program: str) -> str | None:
    """The path of a program, looked for in the system's own folders too."""
    return shutil.which(program, path=_PATH)


def limits() -> tuple[str, ...]:
    """Resource limits for a container that this machine can grant.

    Podman's own are above the hard limits of a small virtual machine, and then nothing starts; so is half of what
    root has there. Below some 5500 processes Dovecot logs an error when it raises its own limit.
    """
    return tuple(
        part
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        for part in ("--ulimit", "{0}={1}:{1}".format(name, _ceiling(resource.getrlimit(number)[1])))
    )


def attempt(*arguments: str, stdin: str | None = None, timeout: float = 900) -> Ran:
    """Call podman; the exit code is the caller's to judge."""
    program = which("podman")
    if program is None:
        raise LabError("podman is not installed, so no lab server can be started: run `make lab-packages`.")
    # crun refuses the hybrid control groups of some virtual machines; runc takes them all.
    runtime = which("runc")
    command = [program, *(("--runtime", runtime) if runtime else ()), *arguments]
    try:
        # Closed standard input: podman must never wait for a terminal, in CI there is none.
        done = subprocess.run(
            command,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"podman {arguments[0]} has not ended after {timeout:.0f} s: {' '.join(command)}") from late
    return Ran(done.returncode, done.stdout, done.stderr)


def call(*arguments: str, stdin: str | None = None, timeout: float = 900) -> str:
    """Call podman and return its output; anything but exit code 0 is an error that quotes its last lines."""
    rc, out, err = attempt(*arguments, stdin=stdin, timeout=timeout)
    if rc != 0:
        last = "\n".join((err.strip() or out.strip()).splitlines()[-15:])
        raise LabError(f"podman {' '.join(arguments)}\nended with {rc}:\n{last}")
    return out


def remove(*containers: str) -> None:
    """Remove containers, running or not; those that are gone already are no error."""
    left = list(containers)
    for _ in range(_TRIES):
        if left:
            # On a busy machine podman may find a container still running a second after it was killed.
            attempt("rm", "--force", "--ignore", "--time", "1", *left)
            left = [name for name in left if attempt("container", "exists", name).rc == 0]
    if left:
        call("rm", "--force", "--ignore", "--time", "10", *left)


def listing(*arguments: str) -> list[dict[str, Any]]:
    """The rows of a podman list command, from its JSON."""
    rows: list[dict[str, Any]] = json.loads(call(*arguments, "--format", "json") or "[]")
    return rows or []


def _ceiling(hard: int, enough: int = 16384) -> int:
    return enough if hard == resource.RLIM_INFINITY else min(hard, enough)
