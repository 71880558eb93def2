"""Versions as Dovecot, systemd and the package managers write them."""

from __future__ import annotations

import re

_UPSTREAM = re.compile(r"^(?:\d+:)?(?P<upstream>\d+(?:\.\d+)+)")


def upstream(version: str | None) -> str | None:
    """``2.3.19.1`` out of ``1:2.3.19.1+dfsg1-2.1+deb12u1`` or ``2.3.19.1 (9b53102964)``; None when there is none."""
    match = _UPSTREAM.match((version or "").strip())
    return match["upstream"] if match else None


def systemd(text: str) -> int | None:
    """The number in the first line of `systemctl --version`: 252 of ``systemd 252 (252.39-1~deb12u2)``."""
    match = re.match(r"systemd (\d+)", text.strip())
    return int(match[1]) if match else None
