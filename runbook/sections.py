"""The sections: one notebook each under notebooks/, in the order of their numbers."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from mailhost.errors import MailhostError

LAST = 6  # a notebook numbered higher runs only when named
AUDIT = 6
_FILE = re.compile(r"(?P<number>\d\d)_(?P<word>[a-z0-9_]+)")


class UnknownSection(MailhostError):
    """A section was asked for that no notebook has."""


@dataclass(frozen=True)
class Section:
    """One notebook: ``03_configure``, number 3, word ``configure``."""

    name: str
    number: int
    word: str
    path: Path

    @property
    def title(self) -> str:
        """The notebook's first heading: the condition that must hold."""
        return heading(self.path)


def available(root: Path) -> tuple[Section, ...]:
    """Every section that there is a notebook for; 00_start_here is a page, no section."""
    found = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        match = _FILE.fullmatch(path.stem)
        if match and int(match["number"]) > 0:
            found.append(Section(path.stem, int(match["number"]), match["word"], path))
    return tuple(found)


def pick(root: Path, names: list[str] | tuple[str, ...] = ()) -> tuple[Section, ...]:
    """The sections to run, in order: those named (``03_configure``, ``03`` or ``configure``), else 01 to 06.

    Raises UnknownSection that lists what there is.
    """
    known = available(root)
    if not names:
        return tuple(section for section in known if section.number <= LAST)
    chosen = []
    for name in names:
        match = [s for s in known if name in (s.name, s.word, f"{s.number:02}", str(s.number), f"{s.name}.ipynb")]
        if not match:
            words = [word for section in known for word in (section.name, section.word)]
            near = difflib.get_close_matches(name, words, n=1)
            raise UnknownSection(
                f"unknown section {name!r}",
                follows="nothing was connected to.",
                remedy=(f"did you mean {near[0]}? " if near else "")
                + f"The sections are: {', '.join(section.name for section in known) or 'none'}.",
            )
        chosen += match
    return tuple(section for section in known if section in chosen)


def heading(notebook: Path) -> str:
    """The first heading of a notebook; empty where it has none or cannot be read."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return ""
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            for line in "".join(cell.get("source", "")).splitlines():
                if line.startswith("#"):
                    return line.lstrip("#").strip()
    return ""
