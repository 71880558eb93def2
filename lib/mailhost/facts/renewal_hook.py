"""The deploy hook of the ACME client that keeps the certificate: its files, and whether systemd watches for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost import acme
from mailhost.facts import certificate_files
from mailhost.facts.certificate_files import File
from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet


@dataclass(frozen=True)
class Row:
    """One line for a person."""

    part: str
    state: str
    mode: str = ""
    owner: str = ""


@dataclass(frozen=True)
class RenewalHook(Fact):
    """What is there of the hook; nothing where the sheet names no ACME client.

    files    its files, those that are not there without a digest
    watch    the path unit; empty where none is needed
    enabled  whether the path unit starts with the server; False where none is needed
    active   whether it watches now
    """

    files: tuple[File, ...] = ()
    watch: str = ""
    enabled: bool = False
    active: bool = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """Each file, and the unit that watches where there is one."""
        shown = tuple(
            Row(file.path, "there" if file.digest else "missing", file.mode, file.owner) for file in self.files
        )
        state = f"{'enabled' if self.enabled else 'not enabled'}, {'active' if self.active else 'not active'}"
        return (*shown, Row(self.watch, state)) if self.watch else shown

    @property
    def watching(self) -> bool:
        """Whether systemd watches, now and after a restart of the server."""
        return self.enabled and self.active


_WATCH = 'systemctl is-enabled "$1" 2>/dev/null; systemctl is-active "$1"'


def _commands(sheet: Sheet, family: Family | None) -> Mapping[str, Command]:
    hook = acme.hook(sheet.tls, family.unit) if family else None
    if hook is None:
        return {}
    files = {f"file {number}": certificate_files.look_at(part.path) for number, part in enumerate(hook.parts)}
    return files | ({"watch": sh(_WATCH, hook.watch, ok=None)} if hook.watch else {})


def read(results: Mapping[str, Result]) -> RenewalHook:
    """Each file, and the unit's state. Raises CommandError when a file is there and cannot be read."""
    files = tuple(certificate_files.file(result) for name, result in results.items() if name.startswith("file"))
    asked = results.get("watch")
    if asked is None:
        return RenewalHook(files)
    words = asked.stdout.split()
    return RenewalHook(files, asked.command.argv[4], words[:1] == ["enabled"], words[-1:] == ["active"])


query = Query("renewal_hook", "Deploy hook of the ACME client", _commands, read)
