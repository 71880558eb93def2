"""How many failed logins a run may make: the sheet's number, less what is spent, and never what gets us banned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailhost.checks.surroundings import allowance
from mailhost.facts.bans import Ban, Bans
from mailhost.sheet import Sheet, from_mapping
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
