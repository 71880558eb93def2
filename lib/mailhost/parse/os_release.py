"""/etc/os-release."""

from __future__ import annotations

from typing import Any

import jc


def os_release(text: str) -> dict[str, str]:
    """The keys of /etc/os-release with their values unquoted; empty for an empty text."""
    if not text.strip():
        return {}
    rows: Any = jc.parse("os_release", text, quiet=True)
    return {str(key): str(value) for key, value in rows.items()}
