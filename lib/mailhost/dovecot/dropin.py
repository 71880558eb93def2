"""Our own drop-in: a header, a block "mail" and a block "tls", made from settings and taken apart again."""

from __future__ import annotations

from dataclasses import dataclass

from mailhost.dovecot.settings import Dialect, Settings
from mailhost.errors import UnsupportedError

NAME = "99-dovecot-runbook.conf"
_MADE_BY = "# Made by dovecot-runbook"
_MARKS = {"mail": "# --- mail: what is served, and where the mail lies", "tls": "# --- tls: how it is secured"}


@dataclass(frozen=True)
class Blocks:
    """The two parts of a drop-in, as lines without their headings; an empty one is not written."""

    mail: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()


def blocks(dialect: Dialect, settings: Settings) -> Blocks:
    """Both blocks for these settings. Raises UnsupportedError for a value that would be more than one line."""
    parts = Blocks(dialect.mail(settings), dialect.tls(settings))
    odd = [line for line in (*parts.mail, *parts.tls) if not line.isprintable()]
    if odd:
        raise UnsupportedError(
            f"{odd[0].partition(' = ')[0]} of Dovecot {dialect.VERSION} cannot be {odd[0].partition(' = ')[2]!r}",
            follows="what stands behind a line's end would be a setting of its own; nothing was changed.",
            remedy="take the characters that are not printable out of the sheet.",
        )
    return parts


def render(parts: Blocks, *, sheet: str) -> str:
    """The text of the drop-in. It holds no date: the second run must find it byte for byte the same."""
    lines = [
        f"{_MADE_BY} from the sheet of {sheet}.",
        "# Edits here will be overwritten: change the sheet and run it again.",
    ]
    for name, mark in _MARKS.items():
        block: tuple[str, ...] = getattr(parts, name)
        if block:
            lines += ["", mark, *block]
    return "\n".join(lines) + "\n"


def is_ours(text: str) -> bool:
    """Whether the text was made by `render`; anything else at our path belongs to somebody."""
    return text.startswith(_MADE_BY)


def split(text: str) -> Blocks:
    """The blocks of a drop-in, each line as it stands; lines outside of a block are the header's."""
    found: dict[str, list[str]] = {name: [] for name in _MARKS}
    current: list[str] | None = None
    starts = {mark: name for name, mark in _MARKS.items()}
    for line in text.splitlines():
        if line in starts:
            current = found[starts[line]]
        elif current is not None and line.strip():
            current.append(line)
    return Blocks(tuple(found["mail"]), tuple(found["tls"]))
