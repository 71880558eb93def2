from __future__ import annotations

from pathlib import Path

import pytest

from mailhost.checks import reach as checks
from mailhost.probes.reach import Reach, State, from_jump
from mailhost.probes.target import Origin, Service, Target, targets
from mailhost.sheet import Sheet, from_mapping


def _want(**firewall: str) -> Sheet:
    values = {"name": "mail", "mail_names": ["mail.example.test"], "firewall": firewall}
    return from_mapping(values, base=Path(), source="a test")


def _seen(service: Service, state: State, *, origin: Origin = "here", address: str = "192.0.2.1") -> Reach:
    (target,) = targets("mail.example.test", [address], [service], origin=origin)
    return Reach(target, state, "" if state == "open" else "why")


@pytest.mark.parametrize(
    ("wanted", "state", "status"),
    [
        ("open", "open", "pass"),
        ("open", "refused", "fail"),
        ("open", "timeout", "fail"),
        ("open", "unreachable", "fail"),
        ("open", "unknown", "unknown"),
        ("closed", "open", "fail"),
        ("closed", "refused", "pass"),
        ("closed", "timeout", "pass"),
        ("closed", "unreachable", "unknown"),
        ("closed", "unknown", "unknown"),
    ],
)
def test_each_state(wanted: str, state: State, status: str) -> None:
    (finding,) = checks.reach([_seen("imaps", state)], _want(imaps=wanted))
    assert (finding.id, finding.status) == (f"port-{wanted}", status)


def test_a_rejection_counts_where_somebody_else_answers_at_that_address() -> None:
    rejected, other = _seen("pop3", "unreachable"), _seen("imaps", "open")
    elsewhere = _seen("imaps", "open", address="2001:db8::1")
    assert checks.reach([rejected, other], _want())[0].status == "pass"
    assert checks.reach([rejected, elsewhere], _want())[0].status == "unknown"


def test_what_is_not_served_yet_is_not_judged_and_still_tells_that_the_address_answers() -> None:
    rejected, other = _seen("pop3", "unreachable"), _seen("imaps", "refused")
    (finding,) = checks.reach([rejected, other], _want(), served=("pop3", "imap"))
    assert (finding.id, finding.status) == ("port-closed", "pass")


@pytest.mark.parametrize("wanted", ["open", "closed"])
@pytest.mark.parametrize("state", ["open", "refused"])
def test_the_loopback_proves_nothing(wanted: str, state: State) -> None:
    (finding,) = checks.reach([_seen("imaps", state, origin="loopback")], _want(imaps=wanted))
    assert finding.status == "unknown"


@pytest.mark.parametrize(
    ("said", "state", "status"),
    [
        ("open", "open", "pass"),
        ("refused", "refused", "fail"),
        ("timeout", "timeout", "fail"),
        ("unknown: administratively prohibited", "unknown", "unknown"),
        ("nonsense", "unknown", "unknown"),
    ],
)
def test_from_the_jump_host(said: str, state: State, status: str) -> None:
    target = Target("imaps", "192.0.2.1", 993, "mail.example.test", origin="jump")
    seen = from_jump(target, said, 12)
    assert seen.state == state
    assert checks.reach([seen], _want())[0].status == status
