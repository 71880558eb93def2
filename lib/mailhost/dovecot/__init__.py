"""Dovecot's dialects: one module a version, chosen once from what ``dovecot --version`` says."""

from __future__ import annotations

import re

from mailhost.dovecot import dropin, v22, v23, v24
from mailhost.dovecot.settings import Dialect, Settings
from mailhost.errors import UnsupportedError

DIALECTS: tuple[Dialect, ...] = (v22, v23, v24)
_NAMES_TLS13 = (2, 3, 15)


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


def expressible(version: str, settings: Settings) -> None:
    """Raise UnsupportedError where this very version cannot be told all of these settings, naming the first."""
    speaks = dialect(version)
    dropin.blocks(speaks, settings)
    numbers = tuple(int(word) for word in re.findall(r"\d+", version)[:3])
    if settings.minimum == "TLSv1.3" and speaks is v23 and numbers < _NAMES_TLS13:
        raise UnsupportedError(
            f"ssl_min_protocol of Dovecot {version} (tls.minimum) cannot be TLSv1.3: it knows that from 2.3.15 on",
            follows="every TLS client would be dropped; nothing was changed.",
            remedy='set tls.minimum to "TLSv1.2" in the sheet, or update Dovecot.',
        )
