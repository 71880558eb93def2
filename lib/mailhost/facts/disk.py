"""How much room is left on the file systems that a mail server fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import df
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

PATHS = ("/", "/etc", "/var", "/var/mail", "/home", "/run")
_DF = 'for path in "$@"; do [ ! -e "$path" ] || { echo "path=$path"; df -Pk "$path"; df -Pi "$path"; }; done'


@dataclass(frozen=True)
class Space:
    """Room below one path; None where the file system does not tell (btrfs has no fixed number of inodes)."""

    path: str
    filesystem: str
    mounted_on: str
    available: int | None
    inodes: int | None


@dataclass(frozen=True)
class Disk(Fact):
    """Room in bytes and inodes, one row for each path that exists."""

    rows: tuple[Space, ...] = ()


def _commands(_sheet: Sheet, _family: Family | None) -> dict[str, Command]:
    return {"df": sh(_DF, *PATHS, ok=None, timeout=20)}  # a stale mount is a row without numbers


def read(results: Mapping[str, Result]) -> Disk:
    """One row for each path that exists."""
    return Disk(rows=tuple(Space(**row) for row in df.df(results["df"].stdout)))


query: Query[Disk] = Query("disk", "Room on the file systems", _commands, read)
