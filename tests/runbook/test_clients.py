"""How many failed logins a run may make: the sheet's number, less what is spent, and never what gets us banned."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mailhost.checks.surroundings import allowance
from mailhost.facts.bans import Ban, Bans
from mailhost.parse.dialogue import imap_reply
from mailhost.probes import stories
from mailhost.probes.dialogue import Attempt, Dialogue
from mailhost.sheet import Sheet, from_mapping
from mailhost.transcript import Transcript
from runbook.clients import Clients


def want() -> Sheet:
    return from_mapping({"name": "mail", "mail_names": ["mail.example.test"]}, base=Path("/"), source="a test")


@pytest.mark.parametrize(
    ("given", "failed", "says"),
    [
        ({}, 4, "beyond the budget of 4 failed logins a run"),
        ({"failed": 3}, 1, "beyond the budget of 4"),
        ({"failed": 9}, 0, "beyond the budget of 4"),
        ({"thorough": True}, None, ""),
        ({"thorough": True, "failed": 9}, None, ""),
        ({"bannable": 2}, 2, "get this machine banned"),
        ({"bannable": 9}, 4, "beyond the budget of 4"),
        ({"bannable": 2, "thorough": True, "failed": 1}, 1, "get this machine banned"),
        ({"later": "06_audit"}, 1, "left to 06_audit"),
        ({"later": "06_audit", "thorough": True}, 1, "left to 06_audit"),
        ({"later": "06_audit", "failed": 4}, 0, "left to 06_audit"),
        ({"later": "06_audit", "bannable": 0}, 0, "left to 06_audit"),
    ],
)
def test_the_budget_of_a_run(given: dict[str, Any], failed: int | None, says: str) -> None:
    host: Any = None
    budget = Clients(host, want(), ("192.0.2.1",), **given)._budget()
    assert budget.failed == failed
    assert says in budget.why
    assert budget.kinds == (("expired",) if "later" in given else ("wrong", "unknown", "expired"))


@pytest.mark.parametrize(
    ("rows", "allowed"),
    [
        ((), None),
        ((Ban("fail2ban", "dovecot", limit=3),), 2),
        ((Ban("fail2ban", "dovecot", limit=5), Ban("sshguard", limit=3)), 2),
        ((Ban("fail2ban", "dovecot", limit=3, ignored=("192.0.2.0/24",)),), None),
        ((Ban("crowdsec"),), None),
        ((Ban("fail2ban", "dovecot", limit=0),), 0),
    ],
)
def test_what_may_be_tried_before_somebody_bans_this_machine(rows: tuple[Ban, ...], allowed: int | None) -> None:
    assert allowance(Bans(client="192.0.2.7", active=(), rows=rows)) == allowed


@pytest.mark.parametrize(("spent", "listens", "tried"), [(0, True, 2), (4, True, 1), (4, False, 2)])
def test_a_server_that_listens_in_clear_is_asked_no_more_than_the_budget_allows(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    spent: int,
    listens: bool,  # noqa: FBT001  # a table
    tried: int,
) -> None:
    reply = imap_reply(f"a1 NO [{'AUTHENTICATIONFAILED' if listens else 'PRIVACYREQUIRED'}] no", "a1")
    assert reply is not None

    def refuse(aimed: Any, _login: Any) -> list[Dialogue]:
        return [Dialogue(t, "refuse", "", attempts=(Attempt("LOGIN", False, reply, 0),)) for t in aimed]

    story = stories.refuse
    monkeypatch.setattr(stories, "refuse", refuse)
    host: Any = SimpleNamespace(transcript=Transcript(tmp_path / "transcript.jsonl"))
    values = {"name": "mail", "mail_names": ["mail.example.test"], "firewall": {"imap": "open", "pop3": "open"}}
    sheet = from_mapping(values, base=Path("/"), source="a test")
    clients = Clients(host, sheet, ("192.0.2.1", "192.0.2.2"), failed=spent, login=stories.Login("anna", "right"))
    seen = clients.probe(story, ("imap",), "here")
    assert [bool(d.untried) for d in seen] == [False, tried == 1]
    assert clients.failed == spent + (tried if listens else 0)
