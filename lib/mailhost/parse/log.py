"""Lines of Dovecot's log: from the journal, from `doveadm log errors`, and from files."""

from __future__ import annotations

import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Harmless:
    """A line that may be ignored: its pattern, why, the versions of Dovecot that say so, and how it reads."""

    pattern: re.Pattern[str]
    reason: str
    seen: str
    example: str


def _harmless(pattern: str, reason: str, example: str, seen: str = "2.2, 2.3, 2.4") -> Harmless:
    return Harmless(re.compile(pattern), reason, seen, example)


# Each was seen on servers that worked; runbook/BENCHMARK.md lists them.
HARMLESS = (
    _harmless(
        r"master: Warning: Killed with signal 15 \(by pid=\d+ ",
        "the service was stopped or restarted by systemctl",
        "master: Warning: Killed with signal 15 (by pid=3423 uid=0 code=kill)",
    ),
    _harmless(
        r"master: Warning: SIGHUP received - reloading configuration",
        "the configuration was reloaded",
        "master: Warning: SIGHUP received - reloading configuration",
    ),
    _harmless(
        r"\brbk-expired-[0-9a-f]{8}\b.*pam_acct_mgmt\(\) failed: ",
        "a temporary account of ours that has expired: it must be refused, and PAM says so",
        "auth-worker(53): Error: conn unix:auth-worker (pid=52,uid=102): auth-worker<1>: "
        "pam(rbk-expired-0badcafe,192.0.2.7): pam_acct_mgmt() failed: Authentication failure",
    ),
    _harmless(
        r"Warning: Time moved forwards? by 0\.\d+ seconds",
        "the machine stood still for less than a second, as busy and virtual ones do",
        "master: Warning: Time moved forward by 0.152664 seconds - adjusting timeouts.",
        "2.4",
    ),
    _harmless(
        r"Warning: fd limit \(ulimit -n\) is lower than required under max\. load",
        "room for thousands of users at once; it matters on large servers only",
        "master: Warning: fd limit (ulimit -n) is lower than required under max. load (256 < 1000), because of "
        "default_client_limit",
    ),
    _harmless(
        r"Warning: service \S+ \{ client_limit=\d+ \} is lower than required under max\. load",
        "room for every process of every kind at once; DOV-7.3 judges what logins need",
        "config: Warning: service auth { client_limit=1000 } is lower than required under max. load (1200)",
    ),
    _harmless(
        r"Warning: [Ii]notify (?:instance|watch) limit for user ",
        "new mail is shown a little later; it matters on large servers only",
        "imap(anna): Warning: Inotify instance limit for user 1000 (UID anna) exceeded, disabling.",
    ),
    _harmless(
        r"Error: setrlimit\(RLIMIT_(?:NOFILE|DATA|NPROC)[^)]*\)",
        "a container may not raise its own limits; a real server may",
        "master: Error: setrlimit(RLIMIT_NOFILE, 65535): Operation not permitted",
    ),
    _harmless(
        r"Warning: .*(?:[Oo]bsolete setting|has been replaced by|no longer needed)",
        "an old name that still works",
        "config: Warning: Obsolete setting in /etc/dovecot/local.conf:1: ssl_protocols has been replaced by "
        "ssl_min_protocol",
        "2.2, 2.3",
    ),
)


class Row(TypedDict):
    """One line that is a warning or worse."""

    level: str
    text: str
    source: str
    known: str


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
    reason = next((known.reason for known in HARMLESS if known.pattern.search(line)), "")
    return {"level": level, "text": line.strip(), "source": source, "known": reason}


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
