"""Which server is meant: a path to a sheet, a name under parameters/, or a server of this checkout's lab."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from mailhost import sheet
from mailhost.errors import SheetError
from runbook import sections

NO_SERVERS = frozenset({"example", "tls-policy", "tls_policy"})  # under parameters/, and no server's sheet


def root(start: Path | None = None) -> Path:
    """The repository's root: the folder with notebooks/ and parameters/.

    It is looked for from the working directory (or ``start``) upwards, so that a checkout that one stands in wins,
    then from where this package lies. Raises SheetError.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "notebooks").is_dir() and (folder / "parameters").is_dir():
            return folder
    raise SheetError(
        f"no folder with notebooks/ and parameters/ is found from {here} upwards",
        follows="neither sheets nor notebooks can be found.",
        remedy="change into a checkout of dovecot-runbook and run it again.",
    )


def records_folder() -> Path:
    """Where records lie unless ``--records`` says otherwise: records/ at the repository's root."""
    return root() / "records"


def find(server: str) -> Path:
    """The sheet's file that SERVER means. Raises SheetError when there is none, or more than one."""
    base = root()
    found = _candidates(server, base)
    if len(found) > 1:
        raise SheetError(
            f"{server!r} means two servers: {' and '.join(str(path) for path in found)}",
            follows="nothing was connected to.",
            remedy="name the one that is meant by its path.",
        )
    if found:
        return found[0]
    names = known()
    near = difflib.get_close_matches(server, names, n=1)
    raise SheetError(
        f"no server {server!r}: no such file, no parameters/{server}.yaml, no such server in this checkout's lab",
        follows="nothing was connected to.",
        remedy=(f"did you mean {near[0]}? " if near else "")
        + (f"The servers are: {', '.join(names)}. " if names else "There is no sheet yet. ")
        + "`runbook init NAME` makes a sheet, `runbook lab up NAME` a throw-away server.",
    )


def load(server: str) -> sheet.Sheet:
    """The sheet that SERVER means, checked. Relative paths in it are taken from the root. Raises SheetError."""
    return sheet.load(find(server), base=root())


def name_of(server: str) -> str:
    """The name in records of the server that SERVER means; SERVER itself where its sheet is gone or cannot be read."""
    try:
        return load(server).name
    except SheetError:
        return server


def sheets() -> dict[str, Path]:
    """Name to file of every server that has a sheet under parameters/."""
    files = sorted((root() / "parameters").glob("*.yaml"))
    return {file.stem: file for file in files if file.stem not in NO_SERVERS and not file.stem.startswith(".")}


def lab_sheets() -> dict[str, Path]:
    """Name to file of every server of this checkout's lab; empty where no lab can run."""
    from runbook import lab  # here, since most runs need no lab

    try:
        if lab.available() is not None:
            return {}
        return {server.name: server.sheet for server in lab.servers()}
    except lab.LabError:
        return {}


def known() -> list[str]:
    """The names of all servers that can be asked for by name."""
    return sorted({*sheets(), *lab_sheets()})


def section_title(section: str) -> str:
    """The first heading of a section's notebook, e.g. of ``03_configure``; the name itself where it has none."""
    return sections.heading(root() / "notebooks" / f"{section}.ipynb") or section


def _candidates(server: str, base: Path) -> list[Path]:
    found: list[Path] = []
    is_path = os.sep in server or server.endswith((".yaml", ".yml"))
    if is_path:
        # from the working directory, as in any shell; then from the root, as the notebooks' parameters are
        for start in (Path.cwd(), base):
            path = (start / Path(server).expanduser()).resolve()
            if path.is_file() and path not in found:
                found.append(path)
                break
    if os.sep not in server:
        by_name = (base / "parameters" / f"{server}.yaml").resolve()
        if by_name.is_file() and by_name not in found:
            found.append(by_name)
        in_lab = None if is_path else lab_sheets().get(server)
        if in_lab is not None and in_lab.resolve() not in found:
            found.append(in_lab.resolve())
    return found
