"""`key=value` and `key: value` lines, as our own shell pieces and systemctl, /proc and timedatectl print them."""

from __future__ import annotations


def pairs(text: str, separator: str = "=") -> dict[str, str]:
    """Lines to a mapping; lines without the separator are left out, a repeated key keeps its last value."""
    rows: dict[str, str] = {}
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if found:
            rows[key.strip()] = value.strip()
    return rows


def number(text: str | None) -> int | None:
    """A whole number, or None for anything else (an empty field, ``n/a``, ``-``)."""
    text = (text or "").strip()
    return int(text) if text.lstrip("-").isdigit() and text.lstrip("-").isascii() else None
