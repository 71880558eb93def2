from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailhost.checks import tls as checks
from mailhost.policy import shipped
from mailhost.probes.certificate import Certificate
from mailhost.probes.target import Target
from mailhost.probes.tls import Broke, TlsSeen

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TARGET = Target("imaps", "192.0.2.1", 993, "mail.example.test")


def _certificate(mark: str, *, issuer: str = "above", end: datetime = NOW + timedelta(days=90)) -> Certificate:
    subject = "above" if mark == "root" else mark
    names = ("mail.example.test",)
    return Certificate(subject, issuer, names, NOW - timedelta(days=1), end, "EC secp256r1", 256, "sha256", mark)


def _chain(*marks: str) -> tuple[Certificate, ...]:
    return tuple(_certificate(mark) for mark in marks)


@pytest.mark.parametrize(
    ("sent", "status", "severity", "words"),
    [
        (("leaf", "low", "high"), "pass", "high", ""),
        (("leaf",), "fail", "high", "leaf only"),
        (("leaf", "high", "low"), "fail", "medium", "wrong order"),
        (("low", "leaf", "high"), "fail", "medium", "wrong order"),
        (("leaf", "low"), "fail", "high", "not all"),
        (("leaf", "low", "high", "root"), "fail", "low", "root"),
        (("leaf", "root"), "fail", "high", "not all"),
        (("leaf", "other"), "fail", "high", "other intermediates"),
        (("leaf", "low", "low", "high"), "fail", "high", "other intermediates"),
    ],
)
def test_chain(sent: Sequence[str], status: str, severity: str, words: str) -> None:
    (finding,) = checks.chain([TlsSeen(TARGET, chain=_chain(*sent))], ("leaf", "low", "high"))
    assert (finding.status, finding.severity) == (status, severity)
    assert words in finding.message


def test_a_leaf_straight_from_the_root_or_self_signed_needs_no_more() -> None:
    assert checks.chain([TlsSeen(TARGET, chain=_chain("leaf"))], ("leaf",))[0].status == "pass"


@pytest.mark.parametrize(
    ("left", "status", "severity"),
    [
        (timedelta(seconds=-1), "fail", "critical"),
        (timedelta(0), "fail", "critical"),
        (timedelta(days=13, hours=23), "fail", "medium"),
        (timedelta(days=14), "pass", "high"),
    ],
)
def test_dates(left: timedelta, status: str, severity: str) -> None:
    seen = TlsSeen(TARGET, chain=(_certificate("leaf", end=NOW + left),))
    (finding,) = checks.dates([seen], shipped(), now=NOW)
    assert (finding.status, finding.severity) == (status, severity)


def test_not_valid_yet() -> None:
    (finding,) = checks.dates([TlsSeen(TARGET, chain=_chain("leaf"))], shipped(), now=NOW - timedelta(days=2))
    assert (finding.status, finding.severity) == ("fail", "critical")
    assert "not valid yet" in finding.message


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("mail.example.test", "MAIL.example.test", True),
        ("*.example.test", "mail.example.test", True),
        ("*.example.test", "a.mail.example.test", False),
        ("*.example.test", "example.test", False),
        ("*.test", "example.test", False),
        ("mail.example.test", "xmail.example.test", False),
        ("m*.example.test", "mail.example.test", False),
        ("192.0.2.1", "192.0.2.1", True),
    ],
)
def test_names(pattern: str, name: str, covered: bool) -> None:  # noqa: FBT001  # the table's last column
    assert checks.covers(pattern, name) is covered


@pytest.mark.parametrize(
    ("broke", "status"),
    [("tls", "fail"), ("refused", "fail"), ("timeout", "unknown"), ("unreachable", "unknown"), ("local", "unknown")],
)
def test_no_handshake(broke: Broke, status: str) -> None:
    seen = [TlsSeen(TARGET, "why", broke)]
    assert [f.status for f in checks.handshake(seen)] == [status]
    assert [f.status for f in checks.verified(seen)] == ["unknown"]
    assert [f.status for f in checks.dates(seen, shipped(), now=NOW)] == ["unknown"]


def test_two_calls_that_disagree_are_unknown() -> None:
    seen = TlsSeen(TARGET, protocol="TLSv1.3", cipher="x", chain=_chain("leaf"), verified=None)
    assert [f.status for f in checks.verified([seen])] == ["unknown"]


def test_without_a_certificate_in_the_sheet_nothing_can_be_compared() -> None:
    seen = [TlsSeen(TARGET, chain=_chain("leaf"))]
    assert [f.status for f in (*checks.certificate(seen, ()), *checks.chain(seen, ()))] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("changed", "status", "severity"),
    [
        ({}, "pass", "high"),
        ({"key": "RSA 2048", "key_bits": 2048}, "pass", "high"),
        ({"key": "Ed25519", "signature": ""}, "pass", "high"),
        ({"key": "RSA 1024", "key_bits": 1024}, "fail", "high"),
        ({"key": "EC secp192r1", "key_bits": 192}, "fail", "high"),
        ({"key": "DSAPublicKey", "key_bits": 0}, "fail", "high"),
        ({"signature": "sha1"}, "fail", "high"),
        ({"signature": "sha224"}, "fail", "low"),
        ({"signature": "1.2.840.113549.1.1.2"}, "fail", "high"),
    ],
)
def test_strength(changed: dict[str, Any], status: str, severity: str) -> None:
    for place in (0, 1):  # an intermediate is judged as the leaf is
        chain = list(_chain("leaf", "low"))
        chain[place] = replace(chain[place], **changed)
        (finding,) = checks.strength([TlsSeen(TARGET, chain=tuple(chain))], shipped())
        assert (finding.id, finding.status, finding.severity) == ("served-strength", status, severity)


def test_a_roots_own_signature_proves_nothing_and_is_not_judged() -> None:
    root = replace(_certificate("root"), signature="sha1", issuer="above")
    assert root.self_issued
    (finding,) = checks.strength([TlsSeen(TARGET, chain=(*_chain("leaf"), root))], shipped())
    assert finding.status == "pass"
    (alone,) = checks.strength([TlsSeen(TARGET, chain=(root,))], shipped())
    assert alone.status == "fail"


def test_without_a_handshake_the_strength_is_unknown() -> None:
    (finding,) = checks.strength([TlsSeen(TARGET, "why", "tls")], shipped())
    assert finding.status == "unknown"
