"""One running lab server: who it is, how commands reach it past SSH, how it is made ready."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook.lab import podman, sheets
from runbook.lab.errors import LabError
from runbook.lab.place import DOMAIN
from runbook.lab.podman import Ran

_START_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    """A running throw-away server and the files that belong to it."""

    name: str
    system: str
    address: str
    address6: str
    sheet: Path
    known_hosts: Path
    ca: Path
    container: str

    @property
    def folder(self) -> Path:
        """The folder with all files of this server."""
        return self.sheet.parent

    @property
    def key(self) -> Path:
        """The private SSH key that logs in as root."""
        return self.folder / "id_ed25519"

    @property
    def hostname(self) -> str:
        """The server's own full name, which the lab's resolver answers for."""
        return f"{self.name}.{DOMAIN}"

    def run(self, command: str | Sequence[str], *, stdin: str | None = None) -> Ran:
        """Run a command (a list) or a script for ``sh`` (a string) on the server, by podman and so past SSH."""
        return run(self, command, stdin=stdin)


def run(server: Server, command: str | Sequence[str], *, stdin: str | None = None) -> Ran:
    """Run a command (a list) or a script for ``sh`` (a string) on ``server``, by podman and so past SSH."""
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    flags = ["--interactive"] if stdin is not None else []
    return podman.attempt("exec", *flags, server.container, *words, stdin=stdin)


def let_in(server: Server) -> None:
    """Make the key that logs in as root, and the server's own file of names."""
    key = sheets.make_login_key(server.key)
    _do(server, "umask 077 && mkdir -p /root/.ssh && cat >/root/.ssh/authorized_keys", key)
    write_hosts(server)


def write_hosts(server: Server) -> None:
    """The server's /etc/hosts; not podman's own, which copies the names of the machine under it."""
    _do(
        server,
        "cat >/etc/hosts",
        f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
        f"{server.address} {server.hostname} {server.name}\n{server.address6} {server.hostname} {server.name}\n",
    )


def _do(server: Server, script: str, stdin: str | None = None) -> str:
    rc, out, err = run(server, script, stdin=stdin)
    if rc != 0:
        raise LabError(f"on the lab server {server.name} `{script}` ended with {rc}: {err.strip()}")
    return out


def wait(server: Server) -> None:
    """Until systemd has started everything and sshd answers on both addresses."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        # --wait fails while the bus is not there yet, hence the loop.
        state = run(server, ["systemctl", "is-system-running", "--wait"]).out.strip()
        if state == "running" and all(_answers(address) for address in (server.address, server.address6)):
            return
        if time.monotonic() > deadline:
            failed = run(server, "systemctl --failed --no-legend --plain; journalctl -n 20 --no-pager -p warning").out
            raise LabError(
                f"the lab server {server.name} is {state or 'not up'} after {_START_SECONDS:.0f} s:\n{failed.strip()}"
            )
        time.sleep(0.05)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def known_hosts(server: Server) -> str:
    """The server's host keys as lines of a known_hosts file, read past SSH: the truth, not "trust on first use"."""
    names = f"{server.hostname},{server.address},{server.address6}"
    keys = _do(server, "cat /etc/ssh/ssh_host_*_key.pub").splitlines()
    return "".join(f"{names} {' '.join(line.split()[:2])}\n" for line in keys)
