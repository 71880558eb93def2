"""Nothing of what was said in clear text counts after STARTTLS, neither a command nor half a login."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mailhost.checks.outcome import observed, unobserved
from mailhost.finding import Finding, Status
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.starttls import went_on
from mailhost.probes.target import Target

_UPDATE = "update Dovecot's packages (fixed in 2.3.14.1 and by the distributions' security updates)."


_ANSWERS = {"pop3": ("+OK", "-ERR"), "imap": ("x2 ", "* CAPABILITY")}


def injection(seen: Iterable[Dialogue], greeted: Iterable[Dialogue]) -> list[Finding]:
    """``starttls-injection``: a command in the same packet as STARTTLS is not answered (CVE-2021-33515).

    A server may drop the connection instead; that counts only where TLS comes about otherwise (``greeted``).
    """
    shakes = {d.target for d in greeted if d.tls is not None}
    return [_injection(d, shakes) for d in seen if d.story == "inject"]


def _injection(d: Dialogue, shakes: set[Target]) -> Finding:
    early = [line for line in d.early.splitlines() if line.startswith(_ANSWERS[d.target.protocol])]
    answered = [*(d.carried or ()), *early]
    if answered:
        return _finding(
            "starttls-injection",
            d,
            "fail",
            actual=f"answered: {answered[0]}",
            message=f"{d.target} answers a command that came in clear text, in the packet of STARTTLS. Somebody on the "
            "way can put words into a user's secured session and take the login (CVE-2021-33515).",
            remedy=_UPDATE,
        )
    if d.carried is not None:
        return _finding("starttls-injection", d, "pass", actual="thrown away")
    dropped = ("closed",) if d.tls else ("closed", "tls", "protocol")
    if d.agreed and d.broke in dropped and d.target in shakes:
        return _finding("starttls-injection", d, "pass", actual="not answered; the connection is dropped")
    return _unknown("starttls-injection", d)


def state(seen: Iterable[Dialogue]) -> list[Finding]:
    """``starttls-state``: a login that was begun in clear text cannot be continued under TLS."""
    return [_state(d) for d in seen if d.story == "resume"]


def _state(d: Dialogue) -> Finding:
    if d.untried:
        return _finding("starttls-state", d, "skip", actual="not tried", message=f"{d.target}: {d.untried}.")
    if d.carried is None or (d.target.protocol == "imap" and d.error is not None):
        return _unknown("starttls-state", d)
    kept = went_on(d)
    if kept:
        return _finding(
            "starttls-state",
            d,
            "fail",
            actual=kept[0],
            message=f"{d.target} goes on under TLS with a login that was begun in clear text ({kept[0]}). Somebody on "
            "the way can choose whom the user's password is tried for.",
            remedy=f"refuse logins in clear text (section 05_secure), then {_UPDATE}",
        )
    odd = [line for line in d.carried or ("nothing",) if not _FORGOTTEN[d.target.protocol].match(line)]
    if odd:
        return _unknown("starttls-state", d, f"this does not say that no login is under way: {odd[0]}")
    return _finding("starttls-state", d, "pass", actual=d.carried[-1])


# What Dovecot 2.2 to 2.4 say to a password without a user, and to half a login that nobody began.
_FORGOTTEN = {"pop3": re.compile(r"-ERR No username given\.", re.IGNORECASE), "imap": re.compile(r"\S+ BAD\b")}


_TITLES = {
    "starttls-injection": "a command sent in clear with STARTTLS is not answered",
    "starttls-state": "a login begun in clear does not go on under TLS",
}
_EXPECTED = {
    "starttls-injection": {"pop3": "no answer to CAPA", "imap": "no answer to CAPABILITY"},
    "starttls-state": {"pop3": "-ERR No username given.", "imap": "BAD, no login is under way"},
}


def _unknown(check: str, d: Dialogue, reason: str | None = None) -> Finding:
    why = reason or d.error or "the dialogue ended before it came to that"
    remedy = "see the dialogue in the transcript, mend what is named there and run it again."
    expected = _EXPECTED[check][d.target.protocol]
    return unobserved(check, _TITLES[check], d, why, remedy, expected=expected)


def _finding(check: str, d: Dialogue, status: Status, **told: Any) -> Finding:
    return observed(check, _TITLES[check], d, status, expected=_EXPECTED[check][d.target.protocol], **told)
