"""The notebooks' parameters: checked in the first cell, where papermill checks nothing.

papermill injects whatever it is given: an unknown name only warns, no type is ever checked, and ``-p ticket
0012345`` arrives as a number. So the names and types are checked here, before anything is connected to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailhost import sheet
from mailhost.errors import SheetError
from runbook import servers
from runbook.record.folder import RUN, read_json

MODES = ("plan", "apply")
OWN = ("server", "mode", "ticket", "note", "record", "canary", "thorough")


@dataclass(frozen=True)
class Parameters:
    """What one run of one notebook was asked for."""

    want: sheet.Sheet
    mode: str
    ticket: str | None
    note: str | None
    record: Path | None
    canary: bool
    thorough: bool = False


def assigned(history: Iterable[str]) -> set[str]:
    """The names assigned by the cells of parameters among the cells run so far.

    Those are the notebook's own cell (it assigns ``mode``) and papermill's (it begins with ``# Parameters``).
    """
    names: set[str] = set()
    for source in history:
        try:
            body = ast.parse(source).body
        except SyntaxError:
            continue  # a cell of magics is not a cell of parameters
        mine = {
            target.id
            for node in body
            for target in (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if isinstance(target, ast.Name)
        }
        if source.lstrip().startswith("# Parameters"):
            names |= mine
        elif "mode" in mine:
            names = mine  # run once more, it stands for what it said before
    return names


def check(namespace: Mapping[str, Any], history: Iterable[str] = ()) -> Parameters:
    """Check every parameter and resolve the sheet. Raises SheetError before anything is connected to."""
    known = {*OWN, *sheet.KEYS}
    unknown = sorted(assigned(history) - known)
    if unknown:
        raise SheetError(
            f"unknown parameter: {', '.join(unknown)}",
            follows="nothing was connected to and nothing was changed.",
            remedy=f"correct the name; the parameters are {', '.join((*OWN, *sheet.KEYS))}.",
        )
    for name in ("server", "mode", "ticket", "note", "record"):
        value = namespace.get(name)
        if value is not None and not isinstance(value, str):
            raise SheetError(
                f"{name}: a text is wanted, not {type(value).__name__} ({value!r})",
                follows="nothing was connected to and nothing was changed.",
                remedy=f"with papermill give it by -r (raw), which keeps texts as they are: -r {name} {value}.",
            )
    switches = {name: namespace.get(name, False) for name in ("canary", "thorough")}
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise SheetError(f"{name}: True or False is wanted, not {value!r}", remedy=f"give -p {name} True.")
    mode = namespace.get("mode")
    if mode not in MODES:
        raise SheetError(
            f'mode: "plan" or "apply" is wanted, not {mode!r}',
            follows="nothing was connected to and nothing was changed.",
            remedy='"plan" shows every change and makes none; "apply" makes them.',
        )
    given = {key: namespace[key] for key in sheet.KEYS if namespace.get(key) is not None}
    server = namespace.get("server")
    if given and server is not None:
        raise SheetError(
            f"both server ({server}) and keys of a sheet ({', '.join(given)}) are given",
            follows="which of the two should hold is not clear; they are never merged.",
            remedy="give either -p server NAME, or the sheet's keys (-f parameters/NAME.yaml).",
        )
    root = servers.root()
    if given:
        want = sheet.from_mapping(given, base=root, source="parameters")
    elif server:
        want = servers.load(server)
    else:
        raise SheetError(
            "no server is named",
            remedy="set `server` to the name of a sheet under parameters/ (`runbook init NAME` makes one), "
            "or give a sheet's keys with -f parameters/NAME.yaml.",
        )
    record = _record(root, namespace.get("record"), want)
    return Parameters(
        want=want,
        mode=mode,
        ticket=namespace.get("ticket"),
        note=namespace.get("note"),
        record=record,
        canary=switches["canary"],
        thorough=switches["thorough"],
    )


def _record(root: Path, given: str | None, want: sheet.Sheet) -> Path | None:
    """The record to run in; None makes a new one. Raises SheetError for what is none, or another server's."""
    if not given:
        return None
    path = root / given
    file = path / RUN
    if not file.is_file():
        raise SheetError(
            f"record: {path} is no record's folder",
            follows="nothing was connected to and nothing was changed.",
            remedy="leave it empty to make a new one, or make one by `runbook open SERVER`.",
        )
    server = read_json(file).get("server")
    if server != want.name:
        raise SheetError(
            f"record: {path} is a record of {server}, not of {want.name}",
            follows="nothing was connected to and nothing was changed.",
            remedy="leave it empty to make a new one.",
        )
    return path
