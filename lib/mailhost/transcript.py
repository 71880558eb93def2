"""The numbered, append-only log of everything said to the server, written as it happens.

One JSON object a line. Every line is redacted before it touches the disk, and flushed at once, so that
a run that dies leaves what it had said. Numbers go on across the sections of one run.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailhost.redact import redact


class Transcript:
    """Appends entries to a file, or only counts them when there is no file."""

    def __init__(self, path: Path | None = None, *, section: str = "") -> None:
        """Go on where the file ends; a last line cut short by a crash keeps its number."""
        self.path = path
        self.section = section
        self._lock = threading.Lock()
        self._n = 0
        if path is not None:
            if path.exists():
                text = path.read_bytes()
                self._n = text.count(b"\n")
                if text and not text.endswith(b"\n"):
                    self._n += 1
                    with path.open("ab") as file:
                        file.write(b"\n")
            else:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))

    @property
    def last(self) -> int:
        """The number of the newest entry; 0 when there is none."""
        return self._n

    def add(self, kind: str, **values: Any) -> int:
        """Append one entry and return its number."""
        with self._lock:
            self._n += 1
            entry = {"n": self._n, "at": now(), "section": self.section, "kind": kind} | _clean(values)
            if self.path is not None:
                line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
                with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(line)
            return self._n


def now() -> str:
    """The time in UTC, to the millisecond, as in ``2026-11-23T10:00:00.000Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clean(value: Any) -> Any:
    """The value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
