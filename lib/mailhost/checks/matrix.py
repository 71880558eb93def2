"""The login matrix, judged: each way in lets in whom it should, and nobody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailhost.checks import dialogue
from mailhost.finding import Finding, Status
from mailhost.parse.dialogue import needs_tls
from mailhost.probes.dialogue import MECHANISMS, Dialogue, Mechanism
from mailhost.probes.target import bracketed

_CREDENTIALS = {
    "login": "right password",
    "refuse": "wrong password",
    "wrong": "wrong password",
    "unknown": "unknown user",
    "expired": "expired account",
}
_IDS = {
    "refuse": "cleartext-refused",
    "wrong": "wrong-password-refused",
    "unknown": "unknown-user-refused",
    "expired": "expired-account-refused",
}


CLEAR = "clear text"


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix: who comes by which way, what should be answered and what was."""

    service: str
    address: str
    channel: str
    mechanism: str
    credentials: str
    expected: str
    actual: str
    verdict: Status
    evidence: tuple[int, ...] = ()


def matrix(seen: Iterable[Dialogue]) -> list[Finding]:
    """``login-accepted``, ``cleartext-refused``, ``wrong-password-refused``, ``unknown-user-refused`` and
    ``expired-account-refused``, for each way in; what was left out is one ``skip`` for each of them.
    """  # noqa: D205  # five names are one list
    results = list(seen)
    return [*(finding for _, finding in _judged(results)), *_left_out(results)]


def cells(seen: Iterable[Dialogue]) -> list[Cell]:
    """Every cell, in the order of the ways in."""
    results = list(seen)
    made = [cell for d, finding in _judged(results) for cell in _cells(d, finding)]
    made += [_cell(d, way, "", d.untried, "skip") for d in results if d.untried for way in _ways(d)]
    order = list(_CREDENTIALS.values())
    return sorted(
        made, key=lambda c: (c.address, c.service, c.channel != CLEAR, c.mechanism, order.index(c.credentials))
    )


def _judged(seen: list[Dialogue]) -> list[tuple[Dialogue, Finding]]:
    of = {story: [d for d in seen if d.story == story and not d.untried] for story in _CREDENTIALS}
    right = of["login"]
    pairs = [
        (right, dialogue.login_accepted(right)),
        (of["refuse"], dialogue.cleartext_refused(of["refuse"], right)),
        (of["wrong"], dialogue.wrong_password_refused(of["wrong"], right)),
        (of["unknown"], dialogue.unknown_user_refused(of["unknown"], right)),
        (of["expired"], dialogue.expired_account_refused(of["expired"], right)),
    ]
    return [pair for told, findings in pairs for pair in zip(told, findings, strict=True)]


def _cells(d: Dialogue, finding: Finding) -> list[Cell]:
    if d.story != "refuse":
        return [_cell(d, d.mechanism, finding.expected, finding.actual, finding.status)]
    return [_in_clear(d, mechanism, finding) for mechanism in MECHANISMS[d.target.protocol]]


def _ways(d: Dialogue) -> tuple[Mechanism, ...]:
    """The mechanisms that a dialogue is about: a conversation in clear tries both."""
    return MECHANISMS[d.target.protocol] if d.mechanism is None else (d.mechanism,)


def _in_clear(d: Dialogue, mechanism: Mechanism, finding: Finding) -> Cell:
    """One of the two mechanisms that a conversation in clear tries; the second only where the first was refused."""
    tried = [a for a in d.attempts if a.method in mechanism.split("/") or a.method == mechanism]
    if not tried:
        listened = any(d.took_up(a) for a in d.attempts)
        why = "not tried: it listened already" if listened else finding.actual
        return _cell(d, mechanism, finding.expected, why, "skip" if listened else "unknown")
    last = tried[-1]
    verdict: Status = "fail" if any(d.took_up(a) for a in tried) else finding.status
    if verdict == "fail" and needs_tls(d.target.protocol, last.reply):
        verdict = "pass"
    return _cell(d, mechanism, finding.expected, f"{last.method}: {last.reply.brief}", verdict)


def _cell(d: Dialogue, mechanism: Mechanism | None, expected: str, actual: str, verdict: Status) -> Cell:
    in_clear = d.story == "refuse"
    crossing = "STLS" if d.target.protocol == "pop3" else "STARTTLS"
    return Cell(
        service=f"{d.target.service} {d.target.port}",
        address=bracketed(d.target.address),
        channel=CLEAR if in_clear else "TLS" if d.target.implicit_tls else crossing,
        mechanism=mechanism or "",
        credentials=_CREDENTIALS[d.story],
        expected=expected or ("let in" if d.story == "login" else "refused"),
        actual=actual,
        verdict=verdict,
        evidence=d.evidence,
    )


def _left_out(seen: list[Dialogue]) -> list[Finding]:
    findings = []
    for story, check in _IDS.items():
        beyond = [d for d in seen if d.untried and d.story == story]
        if beyond:
            total = sum(d.story == story for d in seen)
            findings.append(
                Finding(
                    id=check,
                    title=dialogue.title(check),
                    status="skip",
                    severity="high",
                    expected="refused by every way in",
                    actual=f"{total - len(beyond)} of {total} tried",
                    message=f"{len(beyond)} of {total} ways in were not tried: {beyond[0].untried}.",
                    remedy="--thorough tries all of them; a temporary account (--canary) takes an expired one with it.",
                )
            )
    return findings
