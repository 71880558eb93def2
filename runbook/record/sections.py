"""A section's state in a record: opened by its first cell, closed by its last, told apart from one that died."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mailhost.errors import MailhostError
from mailhost.transcript import now as timestamp
from runbook.record.folder import MANIFEST, SECTIONS, process, read_json, write_json

_KEPT = ("mode", "verdict", "changes", "started", "ended", "state")
_BLANK: dict[str, Any] = {
    "title": "",
    "verdict": None,
    "changes": 0,
    "ended": None,
    "seconds": 0.0,
    "round_trips": 0,
    "connections": 0,
    "findings": [],
    "facts": {},
    "error": None,
}


def path_of(record: Path, name: str) -> Path:
    """The file of a section's state."""
    return record / SECTIONS / f"{name}.json"


def open_section(record: Path, name: str, *, title: str = "", mode: str = "plan", **values: Any) -> None:
    """Note that a section begins, by which process. Raises MailhostError when the record is closed already.

    A section that ran before in this record (plan, then apply, in JupyterLab) is kept in short under ``earlier``.
    """
    refuse_closed(record)
    file = path_of(record, name)
    earlier: list[Any] = []
    if file.exists():
        before = read_json(file)
        earlier = [*before.get("earlier", []), {key: before.get(key) for key in _KEPT}]
    state = {"name": name, "state": "open", "mode": mode, "started": timestamp()}
    write_json(file, _BLANK | {"title": title} | state | process() | values | {"earlier": earlier}, indent=None)


def write_section(record: Path, values: Mapping[str, Any]) -> None:
    """Set values of the section ``values["name"]``, atomically; the others stay as they are."""
    refuse_closed(record)
    file = path_of(record, str(values["name"]))
    known = read_json(file) if file.exists() else _BLANK | process() | {"started": timestamp(), "state": "open"}
    write_json(file, {**known, **values}, indent=None)


def skip_section(record: Path, name: str, reason: str, *, title: str = "", mode: str = "plan") -> None:
    """Note that a section was asked for and did not run, and why."""
    write_section(
        record,
        {
            "name": name,
            "title": title,
            "mode": mode,
            "state": "not-run",
            "verdict": "not-run",
            "error": reason,
            "started": None,
        },
    )


def refuse_closed(record: Path) -> None:
    """Raise MailhostError when the record is sealed: what is added later would not be in its manifest."""
    if (record / MANIFEST).exists():
        raise MailhostError(
            f"the record {record} is closed",
            follows="nothing was connected to and nothing was changed.",
            remedy="leave `record` empty, or make a new one with `runbook run` or `runbook open`.",
        )
