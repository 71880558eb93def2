"""In which order Dovecot reads its files: where a drop-in of ours has the last word, and where not."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mailhost.dovecot import dropin

_INCLUDE = re.compile(r"!include(?:_try)?\s+(?P<path>\S+)")
_SETTING = re.compile(r"(?P<name>[a-z_]+)\s*=")
_SECTION = re.compile(r"(?P<name>[^{=]*[^{=\s])\s*\{$")
# Stands at the end of a dovecot.conf that has settings of its own behind conf.d. The empty line also ends a last line
# that has no end.
LAST = f"""
# Read last, so that the sheet's settings win over those above (dovecot-runbook).
!include_try conf.d/{dropin.NAME}
"""


@dataclass(frozen=True)
class Include:
    """One line of dovecot.conf that matters for the order: an include, a setting's name, or a brace."""

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

    def loses(self, names: set[str]) -> str:
        """Why a drop-in with these settings would have no effect, or not all of it; empty when it has."""
        if not self.included:
            return f"it does not include conf.d/{dropin.NAME}"
        later = [f"{name} (line {number})" for name, number in self.later if name in names]
        return f"it sets {', '.join(later)} after it has read conf.d" if later else ""


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
    last = reads_ours[-1].number
    return Layout(
        named=named,
        later=tuple((name, number) for name, number in _settings(lines) if number > last),
        after=tuple(found for line in lines if line.number > last and (found := _included(line.text))),
    )


def _settings(lines: tuple[Include, ...]) -> Iterator[tuple[str, int]]:
    """Each setting by its full name: ``cert_file`` inside of ``ssl_server`` is ssl_server_cert_file."""
    inside: list[str] = []
    for line in lines:
        if match := _SECTION.match(line.text):
            inside.append(match["name"])
            yield "_".join(inside), line.number
        elif line.text.startswith("}"):
            del inside[-1:]
        elif match := _SETTING.match(line.text):
            yield "_".join([*inside, match["name"]]), line.number


def _included(text: str) -> str | None:
    match = _INCLUDE.match(text)
    return match["path"].removeprefix("/etc/dovecot/") if match else None
