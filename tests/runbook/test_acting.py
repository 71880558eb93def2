"""Changes are made as one, or not at all. The host is a fake: a real one is in tests/live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from mailhost.changes import STALE, Change
from mailhost.errors import CommandError, ConnectionLost
from mailhost.finding import Finding
from mailhost.host import Command, Result, cmd
from runbook.acting import act


@dataclass(frozen=True)
class Step(Change):
    """A change whose commands are their own names."""

    name: str
    why_not: str = ""

    @property
    def title(self) -> str:
        return self.name

    def diff(self) -> str:
        return f"+ {self.name}"

    def commands(self) -> tuple[Command, ...]:
        return cmd("guard", self.name), cmd("do", self.name)

    def undo(self) -> tuple[Command, ...]:
        return (cmd("undo", self.name),)

    def forget(self) -> tuple[Command, ...]:
        return (cmd("forget", self.name),)


@dataclass
class FakeHost:
    """Remembers what it was told; ends the named commands with the named codes."""

    codes: Mapping[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def batch(self, commands: Mapping[str, Command], *, stop: bool = False) -> dict[str, Result]:
        results = {}
        for name, command in commands.items():
            self.said.append(str(command))
            results[name] = Result(command, self.codes.get(str(command), 0), "", "", len(self.said))
            if stop and not results[name].ok:
                break
        return results


PLAN = (Step("a"), Step("b"))
GOOD = Finding("tls-handshake", "t", "pass")
BAD = Finding("tls-handshake", "t", "fail", message="no handshake", remedy="r")


def test_all_changes_are_made_and_their_traces_forgotten():
    host = FakeHost()
    assert act(host, PLAN, lambda: [GOOD]).made
    assert host.said == ["guard a", "do a", "guard b", "do b", "forget a", "forget b"]


def test_what_fails_undoes_what_went_before_it():
    host = FakeHost({"do b": 1})
    outcome = act(host, PLAN)
    assert not outcome.made
    assert host.said[-2:] == ["undo b", "undo a"]
    assert (outcome.findings[0].id, outcome.findings[0].subject) == ("change-applied", "b")
    assert "was undone" in outcome.findings[0].message
    assert outcome.findings[0].evidence == (1, 2, 3, 4, 5, 6)


def test_a_guard_that_finds_another_state_touches_nothing_of_its_own():
    host = FakeHost({"guard b": STALE})
    outcome = act(host, PLAN)
    assert host.said[-1:] == ["undo a"]
    assert "somebody else changed it" in outcome.why


def test_a_stale_first_change_leaves_nothing_to_undo():
    host = FakeHost({"guard a": STALE})
    outcome = act(host, PLAN)
    assert host.said == ["guard a"]
    assert "Nothing had been changed" in outcome.findings[0].message


@pytest.mark.parametrize("status", ["fail", "unknown"])
def test_what_does_not_prove_itself_is_undone(status):
    host = FakeHost()
    proof = Finding("tls-handshake", "t", status, message="no handshake", remedy="r")
    outcome = act(host, PLAN, lambda: [proof])
    assert not outcome.made
    assert host.said[-2:] == ["undo b", "undo a"]
    assert [finding.id for finding in outcome.findings] == ["tls-handshake", "change-applied"]


def test_a_proof_that_cannot_be_made_proves_nothing():
    def prove():
        raise CommandError("no way through SSH")

    outcome = act(FakeHost(), PLAN, prove)
    assert [(f.id, f.status) for f in outcome.findings] == [("change-proven", "unknown"), ("change-applied", "fail")]


def test_an_undo_that_fails_is_shouted():
    outcome = act(FakeHost({"do b": 1, "undo a": 1}), PLAN)
    assert "UNDOING FAILED TOO" in outcome.findings[0].message


def test_a_broken_connection_is_not_taken_for_a_failed_change():
    class Lost(FakeHost):
        def batch(self, commands, *, stop=False):
            raise ConnectionLost("the connection broke")

    with pytest.raises(ConnectionLost):
        act(Lost(), PLAN)
