"""`df -Pk` and `df -Pi` of one path after the other.

jc's df finds columns by the position of their headings and breaks on `-Pi` and on blanks in names; the POSIX
format is fixed from the right, so a regular expression is enough.
"""

from __future__ import annotations

import re
from typing import TypedDict

_ROW = re.compile(
    r"^(?P<filesystem>.+?)\s+(?:\d+|-)\s+(?:\d+|-)\s+(?P<left>-?\d+|-)\s+(?:\d+%|-)\s+(?P<mounted_on>/.*)$"
)


class Row(TypedDict):
    """Room below one path."""

    path: str
    filesystem: str
    mounted_on: str
    available: int | None
    inodes: int | None


def df(text: str) -> list[Row]:
    """Rows of ``path=PATH``, each followed by the two tables of df."""
    rows: list[Row] = []
    counting = ""
    for line in text.splitlines():
        if line.startswith("path="):
            rows.append({"path": line[5:], "filesystem": "", "mounted_on": "", "available": None, "inodes": None})
        elif line.startswith("Filesystem"):
            counting = "inodes" if "Inodes" in line else "available"
        elif rows and (match := _ROW.match(line)):
            row = rows[-1]
            row["filesystem"], row["mounted_on"] = match["filesystem"], match["mounted_on"]
            left = None if match["left"] == "-" else int(match["left"])
            if counting == "available":
                row["available"] = None if left is None else left * 1024
            elif not re.search(r"\s0\s+0\s+0\s+-\s", line):
                row["inodes"] = left
    return rows
