"""The login matrix: which cells a budget is spent on, what becomes of each, and how it is shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from scripted import serving

from mailhost.checks import dialogue as dialogue_checks
from mailhost.checks import matrix as checks
from mailhost.checks import starttls as starttls_checks
from mailhost.probes import matrix, stories
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.matrix import Budget
from mailhost.probes.stories import Login
from mailhost.probes.target import Target, targets
from mailhost.probes.wire import TlsUsed, Trust
from runbook import views

ALL = targets("mail.example.test", ("192.0.2.1", "2001:db8::1"))
ANNA, OLD = Login("anna", "right"), Login("rbk-expired-00000000", "right too")


def dialogue(target: Target, story: Any, *said: tuple[Any, str], **values: Any) -> Dialogue:
    from mailhost.parse.dialogue import imap_reply, pop3_reply
    from mailhost.probes.dialogue import Attempt

    replies = [(method, pop3_reply(line) or imap_reply(line, "a1")) for method, line in said]
    attempts = tuple(Attempt(method, True, reply, 0) for method, reply in replies if reply is not None)
    return Dialogue(target, story, "2026-01-01T00:00:00.000Z", attempts=attempts, **values)


def served(monkeypatch: pytest.MonkeyPatch, *, listens: bool = False, lets_in: str = "") -> Counter[str]:
    """A server that is right about everything, but listens in clear, or lets in whom that story sends."""
    asked: Counter[str] = Counter()
    tls = TlsUsed("TLSv1.3", "", "", verified=True)

    def enter(target: Target, login: Login, mechanism: Any, story: str = "login") -> Dialogue:
        asked[story] += 1
        assert (login.password == "right") == (story == "login")
        assert (login is OLD) == (story == "expired")
        pop3 = target.protocol == "pop3"
        method = "PASS" if mechanism == "USER/PASS" else mechanism
        if story in ("login", lets_in):
            done = dialogue(target, story, (method, "+OK in" if pop3 else "a1 OK in"), mechanism=mechanism, tls=tls)
            return replace(done, mailbox=done.attempts[0].reply)
        said = "-ERR [AUTH] Authentication failed." if pop3 else "a1 NO [AUTHENTICATIONFAILED] no"
        return dialogue(target, story, (method, said), mechanism=mechanism, tls=tls)

    def refuse(aimed: Any, _login: Login) -> list[Dialogue]:
        said = {
            ("imap", True): [("LOGIN", "a1 NO [AUTHENTICATIONFAILED] no")],
            ("pop3", True): [("USER", "+OK"), ("PASS", "-ERR [AUTH] Authentication failed.")],
            ("imap", False): [(m, "a1 NO [PRIVACYREQUIRED] no") for m in ("LOGIN", "AUTHENTICATE PLAIN")],
            ("pop3", False): [
                ("USER", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections."),
                ("AUTH PLAIN", "-ERR [AUTH] Plaintext authentication disabled."),
            ],
        }
        return [dialogue(t, "refuse", *said[t.protocol, listens]) for t in aimed]

    monkeypatch.setattr(stories, "enter", enter)
    monkeypatch.setattr(stories, "refuse", refuse)
    return asked


def by_id(seen: list[Dialogue]) -> dict[str, Counter[str]]:
    told: dict[str, Counter[str]] = {}
    for finding in checks.matrix(seen):
        told.setdefault(finding.id, Counter())[finding.status] += 1
    return told


def test_four_failed_logins_are_a_wrong_password_by_each_protocol_an_unknown_user_and_an_expired_account() -> None:
    first = matrix.rank(matrix.cells(ALL))[:4]
    assert [(c.story, c.target.protocol) for c in first[:2]] == [("wrong", "pop3"), ("wrong", "imap")]
    assert [c.story for c in first[2:]] == ["unknown", "expired"]
    assert len({c.mechanism for c in first}) == len({c.target.service for c in first}) == 4
    assert len({c.target.address for c in first}) == 2


def test_every_cell_is_ranked_once() -> None:
    wanted = matrix.cells(ALL)
    assert len(wanted) == 2 * 4 * 2 * 3
    assert set(matrix.rank(wanted)) == set(wanted)


def test_without_a_budget_every_cell_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = served(monkeypatch)
    seen = matrix.matrix(ALL, ANNA, OLD, Budget(None))
    assert asked == {"login": 16, "wrong": 16, "unknown": 16, "expired": 16}
    assert matrix.failed(seen) == 48
    assert by_id(seen) == {
        "login-accepted": {"pass": 16},
        "cleartext-refused": {"pass": 4},
        "wrong-password-refused": {"pass": 16},
        "unknown-user-refused": {"pass": 16},
        "expired-account-refused": {"pass": 16},
    }
    cells = checks.cells(seen)
    assert len({(c.address, c.service, c.channel, c.mechanism, c.credentials) for c in cells}) == len(cells) == 72
    assert {c.verdict for c in cells} == {"pass"}


def test_what_is_beyond_the_budget_is_skipped_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = served(monkeypatch)
    seen = matrix.matrix(ALL, ANNA, OLD, Budget(4, "beyond the budget"))
    assert asked == {"login": 16, "wrong": 2, "unknown": 1, "expired": 1}
    assert by_id(seen)["expired-account-refused"] == {"pass": 1, "skip": 1}
    skipped = [f for f in checks.matrix(seen) if f.status == "skip"]
    assert all("beyond the budget" in f.message for f in skipped)
    cells = checks.cells(seen)
    assert len(cells) == 72
    assert Counter(c.verdict for c in cells) == {"skip": 44, "pass": 28}


def test_a_server_that_listens_in_clear_costs_failed_logins_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = served(monkeypatch, listens=True)
    seen = matrix.matrix(ALL, ANNA, OLD, Budget(4, "beyond the budget"))
    assert asked == {"login": 16}, "four in clear have spent it"
    assert matrix.failed(seen) == 4
    assert by_id(seen)["cleartext-refused"] == {"fail": 4}
    in_clear = [c for c in checks.cells(seen) if c.channel == checks.CLEAR]
    assert Counter(c.verdict for c in in_clear) == {"fail": 4, "skip": 4}


@pytest.mark.parametrize(("budget", "tried"), [(0, 1), (1, 1), (2, 2), (3, 3), (None, 4)])
def test_once_a_server_listens_in_clear_the_budget_holds_there_too(
    monkeypatch: pytest.MonkeyPatch, budget: int | None, tried: int
) -> None:
    served(monkeypatch, listens=True)
    seen = matrix.matrix(ALL, ANNA, OLD, Budget(budget, "beyond the budget"))
    in_clear = [d for d in seen if d.story == "refuse"]
    assert Counter(bool(d.untried) for d in in_clear) == Counter({False: tried, True: 4 - tried})
    expected = {"fail": tried} | ({"skip": 1} if tried < 4 else {})
    assert by_id(seen)["cleartext-refused"] == expected
    alone = dialogue_checks.cleartext_refused(in_clear, [])
    assert Counter(f.status for f in alone) == Counter({"fail": tried, "skip": 4 - tried})
    assert all("beyond the budget" in f.message for f in alone if f.status == "skip")
    cells = [c for c in checks.cells(seen) if c.channel == checks.CLEAR]
    assert len(cells) == 8
    assert Counter(c.verdict for c in cells) == {"fail": tried, "skip": 8 - tried}


def test_a_server_that_does_not_listen_in_clear_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch)
    seen = matrix.refuse(ALL, ANNA, Budget(0, "beyond the budget"))
    assert len(seen) == 4
    assert not any(d.untried for d in seen)
    assert matrix.failed(seen) == 0


@pytest.mark.parametrize(("line", "tried"), [("-ERR Authentication failed.", 1), ("-ERR No username given.", 2)])
def test_half_a_login_that_goes_on_under_tls_is_a_failed_login(
    monkeypatch: pytest.MonkeyPatch, line: str, tried: int
) -> None:
    monkeypatch.setattr(stories, "inject", lambda _: [])
    monkeypatch.setattr(stories, "resume", lambda aimed, _: [dialogue(t, "resume", carried=(line,)) for t in aimed])
    pop3 = [target for target in ALL if target.protocol == "pop3"]
    seen = matrix.starttls(pop3, ANNA, Budget(0, "beyond the budget"))
    assert [bool(d.untried) for d in seen] == [False, tried == 1]
    assert matrix.failed(seen) == (1 if tried == 1 else 0)
    states = starttls_checks.state(seen)
    assert [f.status for f in states] == (["fail", "skip"] if tried == 1 else ["pass", "pass"])


@pytest.mark.parametrize("story", ["wrong", "unknown", "expired"])
def test_who_is_let_in_and_should_not_be(monkeypatch: pytest.MonkeyPatch, story: str) -> None:
    served(monkeypatch, lets_in=story)
    seen = matrix.matrix(ALL, ANNA, OLD, Budget(4, "beyond the budget"))
    failed = [f for f in checks.matrix(seen) if f.status == "fail"]
    assert {(f.id, f.severity) for f in failed} == {(checks._IDS[story], "critical")}
    assert all(f.message and f.remedy for f in failed)


def test_without_an_expired_account_its_cells_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = served(monkeypatch)
    seen = matrix.matrix(ALL, ANNA, None, Budget(4, "beyond the budget"))
    assert sum(asked.values()) == 20
    assert by_id(seen)["expired-account-refused"] == {"skip": 1}
    (skipped,) = [f for f in checks.matrix(seen) if f.id == "expired-account-refused"]
    assert "no expired account" in skipped.message


def test_a_section_that_leaves_the_others_to_a_later_one_tries_the_expired_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = served(monkeypatch)
    seen = matrix.matrix(ALL, ANNA, OLD, Budget(1, "left to 06_audit", ("expired",)))
    assert asked == {"login": 16, "expired": 1}
    assert by_id(seen)["expired-account-refused"] == {"pass": 1, "skip": 1}
    assert matrix.failed(seen) == 1


def test_a_budget_is_spent_once() -> None:
    assert Budget(4).left(3).failed == 1
    assert Budget(4).left(9).failed == 0
    assert Budget(None).left(9).failed is None


def test_servers_that_are_gone_make_every_cell_unknown() -> None:
    with serving(lambda _: None, "pop3") as gone:
        pass
    seen = matrix.matrix([gone, replace(gone, service="imaps")], replace(ANNA, trust=Trust()), OLD, Budget(None))
    assert {f.status for f in checks.matrix(seen)} == {"unknown"}
    assert {c.verdict for c in checks.cells(seen)} == {"unknown"}
    assert matrix.failed(seen) == 12, "what was sent and came to nothing may have been counted"


def test_the_table_has_a_line_for_each_way_in_and_every_cell_in_its_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served(monkeypatch)
    seen = matrix.matrix(ALL, ANNA, OLD, Budget(4, "beyond the budget"))
    shown: list[Any] = []
    monkeypatch.setattr("runbook.tables.show", shown.append)
    views.matrix("Every way in", seen)
    (table,) = shown
    assert len(table.rows) == 24
    assert len(table.data["rows"]) == 72
    assert {"expected", "actual", "verdict"} <= set(table.data["rows"][0])
    assert table.text.count("never sent") == 8 * 3
    assert "skip: beyond the budget" in table.text
    assert len(views.frame(tuple(seen))) == 72
    assert capsys.readouterr().out == ""
