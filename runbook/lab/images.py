"""Images of the lab's servers: recipes as data, built once and again only when a recipe changes.

A recipe is a folder under ``recipes/`` with a Containerfile, and the image that it stands on. Its digest is the
image's tag, so an unchanged recipe starts at once and a changed one is built anew. One more distribution is one
more line in ``DISTRIBUTIONS``, one in ``SYSTEMS`` and two in ``RECIPES``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runbook.lab import podman
from runbook.lab.errors import LabError
from runbook.lab.place import machine_lock

Progress = Callable[[str], None]

_FOLDER = Path(__file__).parent / "recipes"
_PREFIX = "localhost/dovecot-runbook"


@dataclass(frozen=True)
class Distribution:
    """A root file system: made by mmdebstrap from ``suite``, elsewhere the distribution's own ``image``."""

    suite: str
    image: str


@dataclass(frozen=True)
class Recipe:
    """The Containerfile in ``recipes/FOLDER``, built on the image ``on``."""

    folder: str
    on: str


DISTRIBUTIONS: dict[str, Distribution] = {
    "bullseye": Distribution(suite="bullseye", image="debian:bullseye-slim"),
    "bookworm": Distribution(suite="bookworm", image="debian:bookworm-slim"),
    "trixie": Distribution(suite="trixie", image="debian:trixie-slim"),
}

RECIPES: dict[str, Recipe] = {
    "host-bullseye": Recipe(folder="host", on="bullseye"),
    "host-bookworm": Recipe(folder="host", on="bookworm"),
    "host-trixie": Recipe(folder="host", on="trixie"),
    "resolver": Recipe(folder="resolver", on="bookworm"),
    "debian11": Recipe(folder="debian11", on="host-bullseye"),
    "debian12": Recipe(folder="debian", on="host-bookworm"),
    "debian13": Recipe(folder="debian", on="host-trixie"),
    "el": Recipe(folder="el", on="host-bookworm"),
    "debian12-ufw": Recipe(folder="ufw", on="debian12"),
    "debian12-next": Recipe(folder="next", on="debian12"),
    "debian12-stock": Recipe(folder="stock", on="debian12"),
    "debian13-stock": Recipe(folder="stock", on="debian13"),
    "el-stock": Recipe(folder="stock", on="el"),
}

SYSTEMS: dict[str, str] = {
    "debian11": "Debian 11",
    "debian12": "Debian 12",
    "debian13": "Debian 13",
    "el": "stand-in for Red Hat 9",
}


def tag(name: str) -> str:
    """The full name of an image, its recipe's digest included."""
    return f"{_PREFIX}/{name}:{digest(name)}"


@functools.cache
def digest(name: str) -> str:
    """Twelve hexadecimal digits over a recipe's files and everything that it stands on."""
    if name in DISTRIBUTIONS:
        return hashlib.sha256(repr(DISTRIBUTIONS[name]).encode()).hexdigest()[:12]
    recipe = RECIPES[name]
    total = hashlib.sha256(digest(recipe.on).encode())
    for path in sorted((_FOLDER / recipe.folder).rglob("*")):
        if path.is_file():
            executable = os.access(path, os.X_OK)
            total.update(f"{path.relative_to(_FOLDER)} {executable}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]


def ensure(name: str, progress: Progress | None = None) -> str:
    """Build image ``name`` where it is missing, and what it stands on; returns its tag.

    Takes a minute or two the first time (about 150 MB come from the distribution's mirror) and 0.1 s afterwards.
    """
    full = tag(name)
    if _exists(full):
        return full
    with machine_lock("images"):
        if not _exists(full):
            _build(name, full, progress or (lambda _: None))
    return full


def remove() -> list[str]:
    """Remove every image of the lab from this machine, those of other checkouts too; returns their tags."""
    tags = [
        name
        for row in podman.listing("images", "--filter", f"reference={_PREFIX}/*")
        for name in row.get("Names") or ()
    ]
    if tags:
        podman.call("rmi", *tags)
    return tags


def _exists(full: str) -> bool:
    return podman.attempt("image", "exists", full).rc == 0


def _build(name: str, full: str, progress: Progress) -> None:
    if name in DISTRIBUTIONS:
        progress(f"making the root file system of {name}")
        _make_root(DISTRIBUTIONS[name], full)
        return
    recipe = RECIPES[name]
    below = tag(recipe.on)
    if not _exists(below):
        _build(recipe.on, below, progress)
    progress(f"building the image {name}")
    podman.call(
        "build", "--quiet", "--layers=false", "--pull=never", *podman.limits(),
        "--build-arg", f"BASE={below}", "--tag", full, str(_FOLDER / recipe.folder),
        timeout=1800,
    )  # fmt: skip


def _make_root(distribution: Distribution, full: str) -> None:
    program = podman.which("mmdebstrap")
    if program is None or os.geteuid() != 0:
        podman.call("pull", "--quiet", distribution.image)
        podman.call("tag", distribution.image, full)
        return
    with tempfile.TemporaryDirectory(prefix="dovecot-runbook-") as folder:
        archive = Path(folder) / "root.tar"
        command = [program, "--quiet", "--variant=minbase", distribution.suite, str(archive)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = "\n".join(done.stderr.strip().splitlines()[-15:])
            raise LabError(
                f"{' '.join(command)}\nended with {done.returncode}, so no lab server can be built. "
                f"Is the distribution's mirror reachable from here?\n{last}"
            )
        podman.call("import", "--quiet", str(archive), full)
