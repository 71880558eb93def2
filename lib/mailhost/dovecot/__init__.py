"""Dovecot's dialects: one module a version, chosen once from what ``dovecot --version`` says."""

from __future__ import annotations

import re

from mailhost.dovecot import v22, v23, v24
from mailhost.dovecot.settings import Dialect
from mailhost.errors import UnsupportedError

DIALECTS: tuple[Dialect, ...] = (v22, v23, v24)


def dialect(version: str) -> Dialect:
    """The dialect of a Dovecot version such as ``2.3.19.1``. Raises UnsupportedError."""
    match = re.match(r"(\d+\.\d+)(?:[.\s(~+-]|$)", version)
    for known in DIALECTS:
        if match and match[1] == known.VERSION:
            return known
    raise UnsupportedError(
        f"Dovecot {version or '(no version told)'} is not one of {', '.join(known.VERSION for known in DIALECTS)}",
        follows="the names of its settings are not known, and a wrong one keeps it from starting; nothing was changed.",
        remedy="use a distribution with one of these, or a runbook that knows this Dovecot.",
    )
