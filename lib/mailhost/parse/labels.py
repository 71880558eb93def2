"""What `restorecon -n -v` would change: both wordings, policycoreutils' own and libselinux's."""

from __future__ import annotations

import re

_WOULD = (
    # policycoreutils up to 2.6 (Red Hat 7)
    re.compile(r"restorecon reset (?P<path>.+) context (?P<now>[^ ]*)->(?P<should>\S+)"),
    # libselinux from 2.6 on
    re.compile(r"(?:Would relabel|Relabeled) (?P<path>.+) from (?P<now><no context>|\S+) to (?P<should>\S+)"),
)


def relabelled(text: str) -> list[dict[str, str]]:
    """Path, type as it is (empty without one) and type as the policy wants it, for each file that differs."""
    found = (next((m for pattern in _WOULD if (m := pattern.search(line))), None) for line in text.splitlines())
    return [{"path": m["path"], "now": kind(m["now"]), "should": kind(m["should"])} for m in found if m]


def kind(context: str) -> str:
    """The type out of ``user:role:type:level``, which is all that the rules for files look at."""
    parts = context.split(":")
    return parts[2] if len(parts) > 2 else ""  # noqa: PLR2004  # user, role, type
