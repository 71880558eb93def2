"""Judgements over replies of versions and cases that no server at hand gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailhost.checks import dialogue as checks
from mailhost.parse.dialogue import Reply, imap_reply, pop3_reply
from mailhost.probes.dialogue import Attempt, Dialogue, Method
from mailhost.probes.target import Origin, Service, Target
from mailhost.probes.wire import TlsUsed

TLS = TlsUsed("TLSv1.3", "TLS_AES_256_GCM_SHA384", "00" * 32, verified=True)


def _reply(line: str) -> Reply:
    reply = pop3_reply(line) or imap_reply(line, "a1")
    assert reply is not None
    return reply


def _dialogue(service: Service, *said: tuple[Method, str], origin: Origin = "here", **values: Any) -> Dialogue:
    attempts = tuple(Attempt(method, False, _reply(line), 0) for method, line in said)
    target = Target(service, "192.0.2.1", 110, "mail.example.test", origin=origin)
    return Dialogue(target, "refuse", "2026-01-01T00:00:00.000Z", attempts=attempts, **values)


CONTROL = replace(_dialogue("imaps", ("LOGIN", "a1 OK Logged in")), mailbox=_reply("a1 OK Selected"), tls=TLS)

REFUSED: list[tuple[Service, Method, str]] = [
    ("pop3", "USER", "-ERR Plaintext authentication disallowed on non-secure (SSL/TLS) connections."),
    ("pop3", "USER", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections."),
    ("pop3", "USER", "-ERR [AUTH] Cleartext authentication disallowed on non-secure (SSL/TLS) connections."),
    ("pop3", "AUTH PLAIN", "-ERR [AUTH] Plaintext authentication disabled."),
    ("pop3", "AUTH PLAIN", "-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled."),
    ("pop3", "AUTH PLAIN", "-ERR [AUTH] Authentication disallowed on non-secure (SSL/TLS) connections."),
    ("imap", "LOGIN", "a1 NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure connections."),
    ("imap", "LOGIN", "a1 NO [PRIVACYREQUIRED] Cleartext authentication disallowed on non-secure connections."),
    ("imap", "AUTHENTICATE PLAIN", "a1 NO [ALERT] Plaintext authentication disabled."),  # 2.2.10 under ssl=no and yes
]
LISTENED: list[tuple[Service, Method, str]] = [
    ("pop3", "USER", "+OK"),
    ("pop3", "PASS", "-ERR [AUTH] Authentication failed."),
    ("pop3", "AUTH PLAIN", "-ERR [AUTH] Authentication failed."),
    ("imap", "LOGIN", "a1 NO [AUTHENTICATIONFAILED] Authentication failed."),
    ("imap", "LOGIN", "a1 OK Logged in"),
]
ODD: list[tuple[Service, Method, str]] = [
    ("pop3", "USER", "-ERR Unknown command."),
    ("pop3", "USER", "-ERR [SYS/TEMP] Temporary authentication failure."),
    ("imap", "LOGIN", "a1 NO [UNAVAILABLE] Temporary authentication failure."),
    ("imap", "LOGIN", "a1 BAD Error in IMAP command"),
    ("imap", "LOGIN", "a1 NO [ALERT] Server is going down."),
    ("imap", "LOGIN", "a1 NO Cleartext authentication disallowed on non-secure (SSL/TLS) connections."),
]


@pytest.mark.parametrize(("service", "method", "line"), REFUSED)
def test_refusals_of_every_version(service: Service, method: Method, line: str) -> None:
    seen = _dialogue(service, (method, line))
    assert [f.status for f in checks.cleartext_refused([seen], [CONTROL])] == ["pass"]
    assert [f.status for f in checks.cleartext_refused([seen], [])] == ["unknown"]


@pytest.mark.parametrize(("service", "method", "line"), LISTENED)
def test_a_server_that_listened(service: Service, method: Method, line: str) -> None:
    (finding,) = checks.cleartext_refused([_dialogue(service, (method, line))], [CONTROL])
    assert (finding.status, finding.severity) == ("fail", "critical")


@pytest.mark.parametrize(("service", "method", "line"), ODD)
def test_any_other_error_is_unknown(service: Service, method: Method, line: str) -> None:
    assert [f.status for f in checks.cleartext_refused([_dialogue(service, (method, line))], [CONTROL])] == ["unknown"]


def test_a_control_that_logged_in_without_a_mailbox_or_without_tls_is_none() -> None:
    seen = _dialogue("imap", ("LOGIN", "a1 NO [PRIVACYREQUIRED] no"))
    for control in (replace(CONTROL, mailbox=None), replace(CONTROL, tls=None)):
        assert [f.status for f in checks.cleartext_refused([seen], [control])] == ["unknown"]


def test_before_tls_a_login_through_the_loopback_is_the_control() -> None:
    seen = _dialogue("imap", ("LOGIN", "a1 NO [PRIVACYREQUIRED] no"))
    loopback = _dialogue("imap", ("LOGIN", "a1 OK Logged in"), origin="loopback", mailbox=_reply("a1 OK Selected"))
    assert [f.status for f in checks.cleartext_refused([seen], [loopback])] == ["pass"]


def test_nothing_from_the_loopback_is_believed() -> None:
    seen = _dialogue(
        "imap", ("LOGIN", "a1 NO [PRIVACYREQUIRED] no"), origin="loopback", capabilities_before=("LOGINDISABLED",)
    )
    assert [f.status for f in checks.cleartext_refused([seen], [CONTROL])] == ["unknown"]
    assert [f.status for f in checks.capabilities_cleartext([seen])] == ["unknown"]


@pytest.mark.parametrize(
    ("service", "words", "status"),
    [
        ("pop3", ("STLS", "SASL"), "pass"),
        ("pop3", ("STLS",), "pass"),
        ("pop3", ("STLS", "SASL", "USER"), "fail"),
        ("pop3", ("STLS", "SASL PLAIN"), "fail"),
        ("pop3", ("SASL",), "fail"),
        ("imap", ("STARTTLS", "LOGINDISABLED"), "pass"),
        ("imap", ("STARTTLS",), "fail"),
        ("imap", ("LOGINDISABLED",), "fail"),
        ("imap", ("STARTTLS", "LOGINDISABLED", "AUTH=PLAIN"), "fail"),
    ],
)
def test_capabilities(service: Service, words: tuple[str, ...], status: str) -> None:
    (finding,) = checks.capabilities_cleartext([_dialogue(service, capabilities_before=words)])
    assert finding.status == status


@pytest.mark.parametrize(
    ("service", "words", "status"),
    [
        ("pop3s", ("USER", "SASL PLAIN"), "pass"),
        ("pop3", ("USER", "SASL LOGIN PLAIN"), "pass"),
        ("pop3", ("USER", "SASL PLAIN", "STLS"), "fail"),
        ("pop3s", ("SASL PLAIN",), "fail"),
        ("pop3s", ("USER", "SASL"), "fail"),
        ("imaps", ("IMAP4REV1", "AUTH=PLAIN"), "pass"),
        ("imap", ("IMAP4REV1", "AUTH=PLAIN", "STARTTLS"), "fail"),
        ("imaps", ("AUTH=PLAIN", "LOGINDISABLED"), "fail"),
        ("imaps", ("IMAP4REV1",), "fail"),
        ("imaps", None, "unknown"),
    ],
)
def test_capabilities_under_tls(service: Service, words: tuple[str, ...] | None, status: str) -> None:
    (finding,) = checks.capabilities_tls([_dialogue(service, capabilities_after=words)])
    assert finding.status == status


STRONG = ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "GSSAPI",
          "GS2-KRB5"]  # fmt: skip
WEAK = ["CRAM-MD5", "DIGEST-MD5", "NTLM", "APOP", "OTP", "SKEY", "RPA", "X-OWN", "SCRAM-", "PLAIN2"]


@pytest.mark.parametrize("service", ["pop3", "pop3s", "imap", "imaps"])
@pytest.mark.parametrize(
    ("mechanism", "status", "severity"),
    [
        *((one, "pass", "high") for one in STRONG),
        *((one, "fail", "medium") for one in WEAK),
        ("ANONYMOUS", "fail", "critical"),
    ],
)
def test_mechanisms_under_tls(service: Service, mechanism: str, status: str, severity: str) -> None:
    pop3 = ("USER", f"SASL PLAIN {mechanism}")
    words = pop3 if service.startswith("pop3") else ("IMAP4REV1", "AUTH=PLAIN", f"AUTH={mechanism}")
    (finding,) = checks.capabilities_tls([_dialogue(service, capabilities_after=words)])
    assert (finding.status, finding.severity) == (status, severity)
    assert mechanism in finding.message or status == "pass"


@pytest.mark.parametrize(
    ("greeting", "status"),
    [
        ("+OK Dovecot ready. <1a2b.1.65f0a1b2.c2FsdA==@mail.example.test>", "fail"),
        ("+OK Dovecot ready.", "pass"),
        ("+OK ask <postmaster@example.test>", "pass"),
    ],
)
def test_a_challenge_in_the_greeting_offers_apop(greeting: str, status: str) -> None:
    seen = _dialogue("pop3s", capabilities_after=("USER", "SASL PLAIN"), greeting=greeting)
    (finding,) = checks.capabilities_tls([seen])
    assert finding.status == status


@pytest.mark.parametrize(
    ("service", "method", "line", "status"),
    [
        ("pop3s", "PASS", "-ERR [AUTH] Authentication failed.", "pass"),
        ("imaps", "LOGIN", "a1 NO [AUTHENTICATIONFAILED] Authentication failed.", "pass"),
        ("imaps", "LOGIN", "a1 NO [UNAVAILABLE] later", "unknown"),
        ("pop3s", "PASS", "-ERR [SYS/TEMP] later", "unknown"),
        (
            "pop3s",
            "USER",
            "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
            "unknown",
        ),
        ("pop3s", "PASS", "+OK Logged in.", "fail"),
    ],
)
def test_wrong_password(service: Service, method: Method, line: str, status: str) -> None:
    seen = [_dialogue(service, (method, line))]
    for check in (checks.wrong_password_refused, checks.unknown_user_refused, checks.expired_account_refused):
        (finding,) = check(seen, [CONTROL])
        assert finding.status == status
        (alone,) = check(seen, [])
        assert alone.status == ("unknown" if status == "pass" else status), "who refuses everybody proves nothing"


def test_an_expired_account_may_be_told_so() -> None:
    seen = [_dialogue("imaps", ("LOGIN", "a1 NO [EXPIRED] Password expired."))]
    assert [f.status for f in checks.expired_account_refused(seen, [CONTROL])] == ["pass"]
    assert [f.status for f in checks.wrong_password_refused(seen, [CONTROL])] == ["unknown"]


def test_imap_says_ok_and_initialization_failed() -> None:
    seen = _dialogue(
        "imaps",
        ("LOGIN", "a1 OK Logged in, but initialization failed."),
        error="the server closed the connection instead of the reply to SELECT",
        broke="closed",
    )
    (finding,) = checks.login_accepted([seen])
    assert finding.status == "fail"
    assert "initialization failed" in finding.message


def test_a_mailbox_that_takes_too_long_is_unknown() -> None:
    seen = _dialogue("pop3s", ("PASS", "+OK Logged in."), error="did not come within 9 s", broke="timeout")
    assert [f.status for f in checks.login_accepted([seen])] == ["unknown"]
