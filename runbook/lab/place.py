"""Where a lab keeps its files, and the names and locks that keep two labs apart.

A lab belongs to one folder: ``.lab`` at the root of this checkout, or what the environment variable
``DOVECOT_RUNBOOK_LAB`` names. Everything that podman holds for it carries the folder's hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOMAIN = "example.test"
LABEL = "dovecot-runbook.lab"
VARIABLE = "DOVECOT_RUNBOOK_LAB"
JOURNAL = "DOVECOT_RUNBOOK_LAB_JOURNAL"  # a file that gets a line for each server started, where it is set


@dataclass(frozen=True)
class Place:
    """The folder of one lab, and the hash that marks its containers and its network."""

    root: Path

    @property
    def mark(self) -> str:
        """Eight hexadecimal digits that no other folder has."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def network(self) -> str:
        """The name of this lab's podman network."""
        return f"dovecot-runbook-{self.mark}"

    @property
    def servers(self) -> Path:
        """The folder with one folder per server."""
        return self.root / "servers"

    @property
    def names(self) -> Path:
        """The folder that the lab's resolver answers from."""
        return self.root / "names"

    @property
    def authority(self) -> Path:
        """The folder with the lab's own certificate authority."""
        return self.root / "authority"

    def container(self, name: str) -> str:
        """The podman name of this lab's server or helper ``name``."""
        return f"{self.network}-{name}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process changes this lab, and keep others out meanwhile."""
        self.root.mkdir(parents=True, exist_ok=True)
        with _locked(self.root / "lock"):
            yield


def here() -> Place:
    """The lab of this checkout, or of the folder that DOVECOT_RUNBOOK_LAB names."""
    chosen = os.environ.get(VARIABLE)
    return Place(Path(chosen).expanduser().resolve() if chosen else REPOSITORY / ".lab")


@contextmanager
def machine_lock(what: str) -> Iterator[None]:
    """Wait until no other lab on this machine does ``what`` (images are shared by all of them)."""
    with _locked(Path(tempfile.gettempdir()) / f"dovecot-runbook-{what}-{os.getuid()}.lock"):
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
