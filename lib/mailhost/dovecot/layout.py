"""In which order Dovecot reads its files: where a drop-in of ours has the last word, and where not."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from mailhost.dovecot import dropin

_INCLUDE = re.compile(r"!include(?:_try)?\s+(?P<path>\S+)")
_SETTING = re.compile(r"(?P<name>[a-z_]+)\s*[={]")


@dataclass(frozen=True)
class Include:
    """One line of dovecot.conf that matters for the order: an include, or a setting's name without its value."""

    number: int
    text: str


@dataclass(frozen=True)
class Layout:
    """What dovecot.conf does with our drop-in.

    included   whether it is read at all
    named      the files that it names, patterns among them
    later      settings of dovecot.conf itself that stand after it and override it: name and line
    after      files that are read after it, such as local.conf
    """

    included: bool = True
    named: tuple[str, ...] = ()
    later: tuple[tuple[str, int], ...] = ()
    after: tuple[str, ...] = ()


def layout(lines: tuple[Include, ...]) -> Layout:
    """The order out of dovecot.conf's own lines.

    Red Hat and Debian include conf.d late and local.conf last. Dovecot's own packages and Fedora's 2.4 include
    conf.d first and go on with settings of their own, which then win over every drop-in.
    """
    path = f"conf.d/{dropin.NAME}"
    reads_ours = [line for line in lines if (found := _included(line.text)) and fnmatch.fnmatch(path, found)]
    named = tuple(found for line in lines if (found := _included(line.text)))
    if not reads_ours:
        return Layout(included=False, named=named)
    rest = [line for line in lines if line.number > reads_ours[-1].number]
    return Layout(
        named=named,
        later=tuple((match["name"], line.number) for line in rest if (match := _SETTING.match(line.text))),
        after=tuple(found for line in rest if (found := _included(line.text))),
    )


def _included(text: str) -> str | None:
    match = _INCLUDE.match(text)
    return match["path"].removeprefix("/etc/dovecot/") if match else None
