"""A record's folder and its files: names, modes, and writing that is whole or not at all."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailhost.errors import MailhostError
from mailhost.redact import redact
from mailhost.sheet import Sheet
from mailhost.transcript import now as timestamp

RUN = "run.json"
SHEET = "sheet.json"
TRANSCRIPT = "transcript.jsonl"
SECTIONS = "sections"
MANIFEST = "manifest.json"
DIGEST = "manifest.sha256"

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_TRIES = 1000
_ENDED = "ZX"  # the states of a process that nobody has asked about since it ended


def create(
    records: Path,
    server: str,
    *,
    section: str | None = None,
    mode: str = "plan",
    ticket: str | None = None,
    note: str | None = None,
    planned: Sequence[str] = (),
    now: datetime | None = None,
) -> Path:
    """Make a new record's folder, ``records/SERVER/UTC-TIME/`` or ``.../UTC-TIME-SECTION/``, and return it.

    ``records`` is the folder of all records (`servers.records_folder`). The folder is 0700 and new even when two runs
    start in the same second. ``planned`` are the sections that the run means to take: one that is missing at
    the end tells that the run was interrupted. Raises MailhostError when the folder cannot be made.
    """
    for name in (server, section or "x"):
        if not _SAFE.fullmatch(name):
            raise MailhostError(f"{name!r} cannot name a record", remedy="use letters, digits, dot, dash.")
    began = now or datetime.now(UTC)
    stem = began.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ") + (f"-{section}" if section else "")
    try:
        (records / server).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = _make_new(records / server, stem)
        (folder / SECTIONS).mkdir(mode=0o700)
        write_json(
            folder / RUN,
            {
                "id": f"{stem}-{secrets.token_hex(4)}",
                "server": server,
                "section": section,
                "mode": mode,
                "ticket": ticket,
                "note": note,
                "planned": list(planned) or ([section] if section else []),
                "started": timestamp() if now is None else began.astimezone(UTC).isoformat(timespec="seconds"),
                "user": user(),
                "machine": socket.gethostname(),
                "process": process(),
            },
        )
    except OSError as error:
        raise MailhostError(
            f"no record can be made under {records}: {error.strerror or error}",
            follows="nothing was connected to and nothing was changed: no run goes without its record.",
            remedy="check the folder's rights and free space, or name another one with --records DIR.",
        ) from error
    return folder.resolve()


def _make_new(parent: Path, stem: str) -> Path:
    for attempt in range(1, _TRIES):
        folder = parent / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{parent / stem} and {_TRIES} more exist")


def write_sheet(record: Path, sheet: Sheet) -> None:
    """Keep the resolved sheet in the record; its secrets are references still."""
    write_json(record / SHEET, sheet.resolved())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object. Raises MailhostError that names the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MailhostError(f"{path} cannot be read: {error}", remedy="is this a record's folder?") from None
    if not isinstance(value, dict):
        raise MailhostError(f"{path} is not a record's file", remedy="compare with `runbook verify RECORD`.")
    return value


def write_json(path: Path, value: Mapping[str, Any] | list[Any], *, indent: int | None = 1) -> None:
    """Write a JSON file, redacted, whole or not at all, 0600; without ``indent`` it is one line and quickly written."""
    write(path, json.dumps(scrub(value), ensure_ascii=False, indent=indent, default=str) + "\n")


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all, 0600."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def scrub(value: Any) -> Any:
    """The value with every text in it redacted; done before it becomes JSON, so that JSON stays JSON."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): scrub(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    return value


def user() -> str:
    """Who runs this: the login name, and behind sudo the one who called it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in some containers
        name = f"uid {os.getuid()}"
    caller = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {caller})" if caller and caller != name else name


def process(pid: int | None = None) -> dict[str, Any]:
    """What tells this process from every other one: its id, its start, this machine and its boot."""
    number = os.getpid() if pid is None else pid
    return {"pid": number, "pid_start": _pid_start(number), "host": socket.gethostname(), "boot_id": _boot_id()}


def is_alive(known: Mapping[str, Any]) -> bool:
    """Whether that process still runs; False when it cannot be known (another machine, another boot)."""
    here = process(int(known.get("pid") or 0))
    if known.get("host") != here["host"] or (known.get("boot_id") or "") != here["boot_id"] or not here["pid"]:
        return False
    try:
        os.kill(here["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and is another user's
    started = known.get("pid_start")
    return here["pid_start"] != _ENDED and started in (None, here["pid_start"])


def _pid_start(pid: int) -> str | None:
    """When the process started, in ticks since boot (proc(5), field 22); None where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return _ENDED if fields[0] in _ENDED else fields[19]
    except (OSError, IndexError):
        return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
