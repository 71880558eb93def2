"""What a fact is made of: commands and a reader. Queries are gathered into one round trip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from mailhost.families import Family
from mailhost.host import Command, Host, Result
from mailhost.sheet import Sheet


@dataclass(frozen=True)
class Fact:
    """Something read from a server; ``evidence`` are numbers of transcript entries."""

    evidence: tuple[int, ...] = field(default=(), kw_only=True)


T = TypeVar("T", bound=Fact)


@dataclass(frozen=True)
class Query(Generic[T]):
    """How one fact is read: commands (which change nothing) and a pure reader of their results.

    commands  (sheet, family) to named commands; family is None only for the query that finds it out
    read      the results by the same names, to a value
    """

    name: str
    title: str
    commands: Callable[[Sheet, Family | None], Mapping[str, Command]]
    read: Callable[[Mapping[str, Result]], T]


def look(host: Host, sheet: Sheet, family: Family | None, *queries: Query[Any]) -> tuple[Any, ...]:
    """Read several facts in one round trip; the values come in the order of the queries."""
    commands = {
        f"{query.name}/{name}": command for query in queries for name, command in query.commands(sheet, family).items()
    }
    results = host.batch(commands)
    values = []
    for query in queries:
        mine = {
            name.removeprefix(f"{query.name}/"): result
            for name, result in results.items()
            if name.startswith(f"{query.name}/")
        }
        values.append(replace(query.read(mine), evidence=tuple(result.n for result in mine.values())))
    return tuple(values)
