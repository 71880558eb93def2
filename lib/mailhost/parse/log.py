"""Lines of Dovecot's log: from the journal, from `doveadm log errors`, and from files."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TypedDict

_LEVEL = re.compile(r"\b(Panic|Fatal|Error|Warning): ")
# systemd's own words about the unit, 208 to today
_UNIT_FAILED = re.compile(r"Failed with result|entered failed state|Failed to start |status=\d+/(?!SUCCESS)(?!0)\S+")
# "2026-11-23T10:00:00+0000 host dovecot[12]: " and Dovecot's own "Nov 23 10:00:00 ", each once at the front
_PREFIX = re.compile(
    r"^(?:\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)?|[A-Z][a-z]{2} [ \d]\d [\d:.]+)"
    r"(?: [^\s:]+ [^\s\[:]+(?:\[\d+\])?:)?\s+"
)
_STAMP = re.compile(r"^([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)")

# What may be ignored, and why. Each was seen on servers that worked.
HARMLESS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Warning: Killed with signal 15 "), "the service was stopped or restarted by systemctl"),
    (re.compile(r"Warning: SIGHUP received"), "the configuration was reloaded"),
    (
        re.compile(r"Warning: (?:fd limit|service \S+ \{ client_limit=|inotify|Inotify)"),
        "a limit for thousands of users at once; it matters on large servers only",
    ),
    (
        re.compile(r"Error: setrlimit\(RLIMIT_(?:NOFILE|DATA|NPROC)[^)]*\)"),
        "a container may not raise its own limits; a real server may",
    ),
    (
        re.compile(r"Warning: .*(?:obsolete setting|has been replaced by|no longer needed)"),
        "an old name that still works",
    ),
)


class Row(TypedDict):
    """One line that is a warning or worse."""

    level: str
    text: str
    source: str
    harmless: str


def message(text: str) -> str:
    """The line without its time, host, program and level: the same event reads the same from every source."""
    return _LEVEL.sub("", _PREFIX.sub("", text, count=1), count=1).strip()


def journal(text: str) -> list[Row]:
    """Rows of `journalctl -o short-iso`."""
    return [row for line in text.splitlines() if not line.startswith("-- ") and (row := _row(line, "journal"))]


def ring(text: str) -> list[Row]:
    """Rows of `doveadm log errors`: the running Dovecot's own memory."""
    return [row for line in text.splitlines() if (row := _row(line, "doveadm log errors"))]


def files(text: str, since: int) -> list[Row]:
    """Rows of ``now=TIME``, then ``file=PATH`` and its lines, not older than ``since`` (seconds since 1970)."""
    rows: list[Row] = []
    source, now = "", None
    for line in text.splitlines():
        if line.startswith("now="):
            now = datetime.strptime(line[4:], "%Y-%m-%dT%H:%M:%S%z")
        elif line.startswith("file="):
            source = line[5:]
        elif (row := _row(line, source)) and not _older(line, now, since):
            rows.append(row)
    return rows


def _row(line: str, source: str) -> Row | None:
    match = _LEVEL.search(line)
    if match:
        level = match[1].lower()
    elif "systemd[" in line and _UNIT_FAILED.search(line):
        level = "error"
    else:
        return None
    reason = next((why for pattern, why in HARMLESS if pattern.search(line)), "")
    return {"level": level, "text": line.strip(), "source": source, "harmless": reason}


def _older(line: str, now: datetime | None, since: int) -> bool:
    """Whether the line is from before; one whose time cannot be read counts as new."""
    if now is None:
        return False
    stamp = _STAMP.match(line)
    try:
        if stamp:
            when = datetime.strptime(f"{now.year} {stamp[1]}", "%Y %b %d %H:%M:%S").replace(tzinfo=now.tzinfo)
        else:
            when = datetime.fromisoformat(line.split(maxsplit=1)[0])
            when = when if when.tzinfo else when.replace(tzinfo=now.tzinfo)
    except (ValueError, IndexError):
        return False
    if when > now + timedelta(days=1):  # a line of last December, read in January
        when = when.replace(year=when.year - 1)
    return when.timestamp() < since
