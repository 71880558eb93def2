"""What a numbered check is made of: what it says of itself, as data, and the predicate that judges a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mailhost.facts.dovecot import Dovecot
from mailhost.facts.hardening import Hardening
from mailhost.facts.listeners import Listeners
from mailhost.facts.users import Users
from mailhost.finding import Severity
from mailhost.parse import doveconf
from mailhost.sheet import Sheet

PREFIX = "DOV-"
_VARIABLE = re.compile(r"%(?:\{[^}]*\}|[-0-9.]*[A-Z]*[a-z])")
VERSIONS = ("2.2", "2.3", "2.4")


@dataclass(frozen=True)
class Passdb:
    """One source of passwords: its driver, and what its section says."""

    driver: str
    rows: tuple[doveconf.Row, ...]

    def says(self, name: str) -> str:
        """The value of a setting of its own; empty when it has none."""
        return next((row.value for row in self.rows if row.name in (name, f"passdb_{name}")), "")

    @property
    def path(self) -> str:
        """The file that it reads, with variables as they are; empty when it reads none."""
        last = self.says("args").rpartition(" ")[2]
        return self.says("passwd_file_path") or (last if last.startswith("/") else "")

    def reads(self, path: str) -> bool:
        """Whether this may be its file: a variable stands for any name."""
        return re.fullmatch(r".*".join(re.escape(part) for part in _VARIABLE.split(self.path)), path) is not None

    @property
    def varies(self) -> bool:
        """Whether its file is another for each user, or each protocol."""
        return _VARIABLE.search(self.path) is not None

    @property
    def text(self) -> str:
        """All that it says, for looking for a word."""
        return " ".join(f"{row.name}={row.value}" for row in self.rows)


@dataclass(frozen=True)
class Socket:
    """A socket as the configuration has it; empty where that is Dovecot's own default."""

    path: str
    mode: str
    user: str
    group: str


@dataclass(frozen=True)
class Server:
    """What the benchmark judges: facts that were read in one round trip, and the sheet."""

    found: Dovecot
    hard: Hardening
    ports: Listeners
    people: Users
    want: Sheet

    @cached_property
    def rows(self) -> tuple[doveconf.Row, ...]:
        """Every setting that is not Dovecot's own default, in sections too."""
        return doveconf.rows(self.found.config)

    def setting(self, name: str, default: str) -> str:
        """The effective value; ``doveconf -n`` leaves out what is Dovecot's own default."""
        return next((row.value for row in self.rows if row.name == name and not row.section), default)

    def everywhere(self, name: str) -> tuple[tuple[str, str], ...]:
        """Where a setting stands, its section first, and its value; not there when it is Dovecot's own default."""
        return tuple((" ".join(row.section), row.value) for row in self.rows if row.name == name)

    def words(self, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Where a list stands, its section first, and its words; not there when it is Dovecot's own default."""
        return tuple((" ".join(section), words) for section, words in doveconf.lists(self.rows, name))

    def of_service(self, service: str, name: str) -> str | None:
        """A service's own setting; None when it is Dovecot's own default."""
        section = (f"service {service}",)
        return next((row.value for row in self.rows if row.section == section and row.name == name), None)

    @cached_property
    def sockets(self) -> tuple[Socket, ...]:
        """The sockets of services that the configuration mentions. From 2.4 on a section may name its path apart."""
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for row in self.rows:
            kind, _, name = (row.section or ("",))[-1].partition(" ")
            if kind in ("unix_listener", "fifo_listener"):
                found.setdefault(row.section, {"path": name.strip('"')})[row.name] = row.value
        return tuple(
            Socket(told["path"], told.get("mode", ""), told.get("user", ""), told.get("group", ""))
            for told in found.values()
        )

    @property
    def login_services(self) -> tuple[str, ...]:
        """The services that strangers talk to before they have logged in."""
        return tuple(f"{protocol}-login" for protocol in sorted(self.want.protocols))

    @cached_property
    def passdbs(self) -> tuple[Passdb, ...]:
        """The sources of passwords, in Dovecot's order. From 2.4 on a section's name is its driver unless it says."""
        sections = doveconf.blocks(self.found.config, "passdb")
        return tuple(Passdb(Passdb("", rows).says("driver") or name, rows) for name, rows in sections)


@dataclass(frozen=True)
class Outcome:
    """What a predicate says: whether it holds (None: not known), and what a reader wants to see of it.

    wrong     what is wrong, or why it is not known or does not apply
    applies   False where nobody could have it hold, as with what the software of that age does not know
    remedy    what to do here, where the check's own remedy is for another case
    """

    holds: bool | None
    expected: str
    actual: str
    wrong: str = ""
    applies: bool = True
    remedy: str = ""


@dataclass(frozen=True)
class Entry:
    """One numbered check.

    number    ``1.4``, shown as ``DOV-1.4``; never given to another check
    title     the condition that must hold
    why       what follows when it does not
    measured  from what behaviour or which effective setting it is told
    remedy    what to do, whichever the version; ``spelled`` adds each version's words where they differ
    source    who says so
    id        the finding that it makes, with ``judge``; empty where other checks measure it already
    measured_by   the findings of those other checks
    """

    number: str
    title: str
    severity: Severity
    why: str
    measured: str
    remedy: str
    source: str
    id: str = ""
    judge: Callable[[Server], Outcome] | None = None
    measured_by: tuple[str, ...] = ()
    spelled: Mapping[str, str] | None = None

    @property
    def label(self) -> str:
        """Its number as people cite it."""
        return PREFIX + self.number

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings that tell whether it holds."""
        return (self.id,) if self.id else self.measured_by

    def remedy_for(self, version: str | None) -> str:
        """What to do on this Dovecot."""
        known = self.spelled or {}
        own = next((text for spoken, text in known.items() if (version or "").startswith(f"{spoken}.")), "")
        return f"{self.remedy} {own}".strip() if own else self.remedy


def known(holds: bool | None, expected: str, actual: str, wrong: str = "") -> Outcome:  # noqa: FBT001  # the answer
    """An outcome in one line."""
    return Outcome(holds, expected, actual, wrong)


def none_of(bad: tuple[str, ...] | list[str], expected: str, wrong: str) -> Outcome:
    """It holds when the list of what is wrong is empty."""
    shown = ", ".join(bad[:6]) + (f" and {len(bad) - 6} more" if len(bad) > 6 else "")  # noqa: PLR2004  # a line's worth
    return Outcome(not bad, expected, shown or "none", f"{wrong}: {shown}")


def off(server: Server, names: tuple[str, ...], good: tuple[str, ...], wrong: str) -> Outcome:
    """It holds when none of these settings has another value than the good ones, in any section."""
    bad = [
        f"{name} = {value}" + (f" in {where}" if where else "")
        for name in names
        for where, value in server.everywhere(name)
        if value not in good
    ]
    return none_of(bad, " and ".join(names) + f" {good[0] or 'empty'}", wrong)


def number(text: str, default: int) -> int:
    """A setting's number; the default where Dovecot means its own by 0 or nothing."""
    word = text.split(maxsplit=1)[0] if text.split() else ""
    return int(word) if word.isdigit() and int(word) else default
