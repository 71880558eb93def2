"""Attaching an executed notebook to the record that it belongs to, as plain papermill leaves it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mailhost.errors import MailhostError
from runbook.record.check import verify
from runbook.record.folder import read_json, write_json
from runbook.record.result import load
from runbook.record.seal import seal

MIME = "application/vnd.dovecot-runbook+json"  # what a notebook says of itself
NBFORMAT = 4


def add(record: Path, file: Path) -> str:
    """Attach an executed notebook to a closed record, render it and seal again; returns the new manifest's SHA-256.

    Raises MailhostError when the file is no executed notebook of this very record.
    """
    known = load(record)
    if known.state == "open":
        raise MailhostError(
            f"{record} is still open", remedy=f"end the run, `runbook close {record}`, then add the file."
        )
    if known.state == "closed" and (problems := verify(record)):
        raise MailhostError(
            f"{record} is not as it was when it was closed: {problems[0]}",
            follows="nothing was added: sealing it again would hide that.",
            remedy=f"look at `runbook verify {record}` first.",
        )
    notebook = _read(file)
    named = _named(notebook)
    sections = {section for path, section in named if _same(path, record)}
    if not sections:
        others = sorted({path for path, _ in named})
        raise MailhostError(
            f"{file} does not belong to {record}: "
            + (f"its outputs name {', '.join(others)}" if others else "no output of it names a record"),
            follows="nothing was added.",
            remedy=f"`runbook records add {others[0]} {file}`."
            if others
            else "give the notebook that papermill wrote.",
        )
    if len(sections) > 1:
        raise MailhostError(
            f"{file} names more than one section: {', '.join(sorted(sections))}", remedy="run it again."
        )
    target = record / f"{sections.pop()}.ipynb"
    if target.exists():
        raise MailhostError(
            f"{target.name} is in the record already",
            follows="nothing was added: a record's files are never replaced.",
            remedy="a second execution has a record of its own; its outputs name it.",
        )
    write_json(target, notebook)
    try:
        return seal(record)
    except Exception as error:
        target.unlink()  # the record is as it was before
        if isinstance(error, MailhostError):
            raise
        raise MailhostError(
            f"{file} cannot be shown as a page: {type(error).__name__}: {error}",
            follows="nothing was added.",
            remedy="give the notebook as papermill wrote it, unedited.",
        ) from error


def _read(file: Path) -> dict[str, Any]:
    notebook = read_json(file)
    if notebook.get("nbformat") != NBFORMAT or not isinstance(notebook.get("cells"), list):
        raise MailhostError(f"{file} is no notebook of format {NBFORMAT}", remedy="give the executed .ipynb.")
    return notebook


def _named(notebook: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(record, section) of every output that names them."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            bundle = output.get("data", {}).get(MIME)
            if isinstance(bundle, dict) and bundle.get("record") and bundle.get("section"):
                found.append((str(bundle["record"]), Path(str(bundle["section"])).name))
    return found


def _same(named: str, record: Path) -> bool:
    """Whether that path means this record, also after the records' folder moved: server and time name it."""
    path, here = Path(named), record.resolve()
    return path.resolve() == here or path.parts[-2:] == here.parts[-2:]
