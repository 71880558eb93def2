"""The output of doveconf as rows: one setting a row, with the sections that it stands in."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"# (?P<version>\d+(?:\.\d+)+)\S*(?: \([^)]*\))?: (?P<path>/\S+)")
_VERSION = re.compile(r"(?m)^(?P<version>\d+\.\d+(?:\.\d+)*)")


@dataclass(frozen=True)
class Row:
    """One setting. ``section`` holds the headings around it, outermost first: ``("protocol imap",)``."""

    section: tuple[str, ...]
    name: str
    value: str


def rows(text: str) -> tuple[Row, ...]:
    """Every setting in what doveconf printed; comments are skipped, quotes are taken off.

    An empty section (``passdb pam { }``) gives a row with an empty name, so that it is not lost.
    """
    found: list[Row] = []
    sections: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line == "}":
            if sections:
                sections.pop()
        elif line.endswith("{"):
            sections.append(line[:-1].strip())
            found.append(Row(tuple(sections), "", ""))
        elif "=" in line:
            name, _, value = line.partition("=")
            found.append(Row(tuple(sections), name.strip(), _unquoted(value.strip())))
    return tuple(row for n, row in enumerate(found) if row.name or _is_empty(found, n))


def lists(told: tuple[Row, ...], name: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Each section in which a list stands, with its words; from 2.4 on one may be a section itself, ``word = yes``."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in told:
        if row.name == name:
            found.setdefault(row.section, []).extend(row.value.split())
        elif row.section and row.section[-1] == name:
            found.setdefault(row.section[:-1], []).extend([row.name] if row.value == "yes" else [])
    return tuple((section, tuple(words)) for section, words in found.items())


def config_path(text: str) -> str | None:
    """The file that doveconf began with, from its first line; None when it is not told."""
    match = _HEADER.search(text)
    return match["path"] if match else None


def version(text: str) -> str | None:
    """``2.3.19.1`` out of ``2.3.19.1 (9b53102964)``, as ``dovecot --version`` prints it."""
    match = _VERSION.search(text)
    return match["version"] if match else None


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value


def _is_empty(found: list[Row], n: int) -> bool:
    return n + 1 == len(found) or found[n + 1].section[: len(found[n].section)] != found[n].section


def blocks(text: str, kind: str) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    """Each section of a kind, as ``passdb``, wherever it stands: its name (empty up to 2.3) and its rows.

    Up to 2.3 several sections bear the same heading: these stay apart here.
    """
    found: list[tuple[str, tuple[Row, ...]]] = []
    lines: list[str] = []
    depth = 0
    for raw in text.splitlines():
        line = raw.strip()
        opens = line.endswith("{") and not line.startswith("#")
        if depth or (opens and line.removesuffix("{").split(maxsplit=1)[:1] == [kind]):
            lines.append(line)
            depth += opens - (line == "}")
        if lines and depth == 0:
            _, _, name = lines[0].removesuffix("{").strip().partition(" ")
            found.append((name.strip(), rows("\n".join(lines[1:-1]))))
            lines = []
    return tuple(found)
