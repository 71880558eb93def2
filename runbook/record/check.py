"""Verifying a closed record: a changed byte, a missing or added file, an edited manifest, unsafe modes."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from runbook.record.folder import DIGEST, MANIFEST
from runbook.record.seal import files, sha256

_OTHERS = 0o077
_ANY_WRITE = 0o222
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of a record."""

    file: str
    what: str

    def __str__(self) -> str:
        """The problem as one line."""
        return f"{self.file}: {self.what}"


def verify(record: Path, digest: str | None = None) -> list[Problem]:
    """Everything that is not as it was when the record was closed; an empty list when all is.

    ``digest`` is the one printed at the end of the run: without it a manifest edited together with its
    manifest.sha256 cannot be told from a true one.
    """
    if not record.is_dir():
        return [Problem(str(record), "no such record")]
    manifest = record / MANIFEST
    if not manifest.is_file() or manifest.is_symlink():
        return [Problem(MANIFEST, "missing: the record is not closed, or its manifest was removed")]
    problems = _seals(record, digest)
    try:
        listed = dict(json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError):
        return [*problems, Problem(MANIFEST, "not readable as a manifest: it was edited or cut short")]
    there = {file.relative_to(record).as_posix(): file for file in files(record)}
    for name, wanted in sorted(listed.items()):
        file = there.get(name)
        if file is None:
            problems.append(Problem(name, "missing: it was there when the record was closed"))
        elif file.is_symlink() or not file.is_file():
            problems.append(Problem(name, "no longer a plain file"))
        elif sha256(file) != wanted:
            problems.append(Problem(name, "changed since the record was closed (its SHA-256 differs)"))
    for name in sorted(set(there) - set(listed) - {MANIFEST, DIGEST}):
        problems.append(Problem(name, "added after the record was closed; `runbook records add` attaches a notebook"))
    return problems + _modes(record)


def _seals(record: Path, digest: str | None) -> list[Problem]:
    actual = sha256(record / MANIFEST)
    problems = []
    try:
        noted = (record / DIGEST).read_text(encoding="ascii", errors="replace").split()[:1]
    except OSError:
        problems.append(Problem(DIGEST, "missing: it was there when the record was closed"))
    else:
        if noted != [actual]:
            problems.append(Problem(MANIFEST, f"edited, or {DIGEST} was: the two do not belong together"))
    if digest is not None:
        wanted = digest.strip().lower().removeprefix("sha256:")
        if not _HEX.fullmatch(wanted):
            problems.append(Problem(MANIFEST, "the digest to compare with is not 64 hexadecimal digits"))
        elif wanted != actual:
            problems.append(Problem(MANIFEST, "not the manifest whose digest was given: edited or another record's"))
    return problems


def _modes(record: Path) -> list[Problem]:
    problems = []
    for path in [record, *sorted(record.rglob("*"))]:
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        name = path.relative_to(record).as_posix()
        if mode & _OTHERS:
            problems.append(Problem(name, f"mode {mode:04o}: others may reach it; `chmod go-rwx` it"))
        elif not path.is_dir() and mode & _ANY_WRITE:
            problems.append(Problem(name, f"mode {mode:04o}: it can be written to; `chmod 0400` it"))
    return problems
