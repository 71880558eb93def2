"""`doveadm who -1`: one line for each connection of somebody who is logged in."""

from __future__ import annotations


def connected(text: str) -> int:
    """How many connections there are; the heading and blank lines do not count."""
    lines = (line for line in text.splitlines() if line.strip())
    return sum(not line.startswith("username") for line in lines)
