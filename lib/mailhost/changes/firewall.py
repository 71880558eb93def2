"""The server's own firewall: mail services opened and closed, now and for good. Nothing else is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from mailhost.changes.base import Change
from mailhost.host import Command, cmd, sh

# firewalld's own codes for "is so already" and "was not so"
_ALREADY_ENABLED, _NOT_ENABLED = 11, 12


@dataclass(frozen=True, order=True)
class Rule:
    """One entry to add or remove.

    permanent  for good, or in what filters now
    zone       firewalld's; empty with ufw
    kind       ``limit`` is ufw's, for a port that is opened with a limit
    entry      a service's name, or a port such as ``993/tcp``
    """

    permanent: bool
    zone: str
    verb: Literal["add", "remove"]
    kind: Literal["service", "port", "limit"]
    entry: str

    def __str__(self) -> str:
        """One line of a diff."""
        where = f" in zone {self.zone}, {'permanent' if self.permanent else 'running'}" if self.zone else ""
        return f"{'+' if self.verb == 'add' else '-'} {self.kind} {self.entry}{where}"

    @property
    def opposite(self) -> Rule:
        """What takes it back."""
        return Rule(self.permanent, self.zone, "remove" if self.verb == "add" else "add", self.kind, self.entry)


@dataclass(frozen=True)
class Firewalld(Change):
    """Open and close in firewalld, each both in what runs and for good."""

    rules: tuple[Rule, ...]

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return "firewall rules (firewalld)"

    def diff(self) -> str:
        """One line a rule."""
        return "\n".join(str(rule) for rule in self.rules)

    def commands(self) -> tuple[Command, ...]:
        """Guard, then change. Its exit codes can be believed, and the check after it reads all rules anew."""
        return (*self._guards(), *_calls(self.rules))

    def undo(self) -> tuple[Command, ...]:
        """The opposite of each rule; what is so already is right."""
        return tuple(_calls([rule.opposite for rule in self.rules[::-1]], already=True))

    def _guards(self) -> Iterable[Command]:
        """What is to be added must not be there, what is to be removed must: else it ends with `STALE`."""
        for (permanent, zone), rules in groupby(sorted(self.rules), key=lambda rule: (rule.permanent, rule.zone)):
            wanted = [f"{rule.verb} {rule.kind} {rule.entry}" for rule in rules]
            yield sh(_GUARD, "--permanent" if permanent else "", f"--zone={zone}", *wanted)


def _calls(rules: Iterable[Rule], *, already: bool = False) -> Iterable[Command]:
    """One firewall-cmd for all entries of one kind: each call costs a third of a second."""
    ok = (0, _ALREADY_ENABLED, _NOT_ENABLED) if already else (0,)
    by_call = sorted(rules, key=lambda rule: (rule.permanent, rule.zone, rule.verb, rule.kind))
    for (permanent, zone, verb, kind), same in groupby(by_call, key=lambda r: (r.permanent, r.zone, r.verb, r.kind)):
        where = ("--permanent",) if permanent else ()
        yield cmd("firewall-cmd", *where, f"--zone={zone}", *(f"--{verb}-{kind}={r.entry}" for r in same), ok=ok)


_GUARD = """\
permanent=$1 zone=$2
shift 2
services=" $(firewall-cmd $permanent "$zone" --list-services) " || exit 1
ports=" $(firewall-cmd $permanent "$zone" --list-ports) " || exit 1
for rule; do
    verb=${rule%% *} entry=${rule##* }
    case $rule in *" service "*) have=$services ;; *) have=$ports ;; esac
    case $have in *" $entry "*) there=yes ;; *) there=no ;; esac
    case "$verb $there" in "add no" | "remove yes") continue ;; esac
    echo "firewalld, ${permanent:-running}, $zone: to $verb $entry, but it is there: $there" >&2
    exit 75
done
"""


@dataclass(frozen=True)
class Ufw(Change):
    """Open and close in ufw. ``before``: what `ufw status verbose` said."""

    rules: tuple[Rule, ...]
    before: str

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return "firewall rules (ufw)"

    def diff(self) -> str:
        """One line a rule."""
        return "\n".join(str(rule) for rule in self.rules)

    def commands(self) -> tuple[Command, ...]:
        """Guard, then change."""
        digest = hashlib.sha256(self.before.rstrip("\n").encode()).hexdigest()
        return (sh(_UFW_GUARD, digest), *(_ufw(rule) for rule in self.rules))

    def undo(self) -> tuple[Command, ...]:
        """The opposite of each rule."""
        return tuple(_ufw(rule.opposite) for rule in self.rules[::-1])


def _ufw(rule: Rule) -> Command:
    opens = "limit" if rule.kind == "limit" else "allow"
    return cmd("ufw", *(() if rule.verb == "add" else ("--force", "delete")), opens, rule.entry, timeout=120)


_UFW_GUARD = """\
now=$(ufw status verbose) || exit 1
[ "$(printf %s "$now" | sha256sum | cut -c 1-64)" = "$1" ] && exit 0
echo "ufw's rules are not as they were looked at" >&2
exit 75
"""
