"""Each finding about the sheet's certificate, with the files broken in exactly that way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from odd import ODDITIES, odd

from mailhost import given
from mailhost.checks import certificate as checks
from mailhost.checks import tls as tls_checks
from mailhost.finding import Finding
from mailhost.policy import Level, Limit, Line, shipped
from mailhost.probes.certificate import decode
from mailhost.probes.target import Target
from mailhost.probes.tls import TlsSeen
from mailhost.sheet import Sheet
from runbook import lab


def judge(want: Sheet, now: datetime) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in checks.certificate(given.read(want.tls), want, now):
        found.setdefault(finding.id, []).append(finding)
    return found


def broken(want: Sheet, now: datetime) -> dict[str, Finding]:
    """The findings that are no pass, the first of each id."""
    return {i: next(f for f in fs if f.status != "pass") for i, fs in judge(want, now).items() if _bad(fs)}


def _bad(findings: list[Finding]) -> bool:
    return any(f.status != "pass" for f in findings)


def test_good_files_pass_every_check(files: Any, now: datetime):
    assert broken(files.sheet(), now) == {}
    assert len(judge(files.sheet(), now)) == 7


def test_no_certificate_in_the_sheet(files: Any, now: datetime):
    finding = broken(files.sheet(tls={}).model_copy(update={"tls": None}), now)["certificate-given"]
    assert (finding.status, finding.blocking) == ("fail", True)
    assert "never invents" in finding.message


@pytest.mark.parametrize(
    "content", [b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate(files: Any, now: datetime, content: bytes):
    files.write(certificate=content, chain=b"")
    finding = broken(files.sheet(), now)["certificate-given"]
    assert finding.blocking
    assert "PEM" in finding.remedy


def test_an_encrypted_key(files: Any, now: datetime):
    files.write(key=files.leaf.key_pem(b"word"))
    found = broken(files.sheet(), now)
    assert (found["key-readable"].actual, found["key-readable"].blocking) == ("encrypted", True)
    assert "openssl pkey" in found["key-readable"].remedy
    assert found["key-matches"].status == "skip"


def test_something_that_is_no_key(files: Any, now: datetime):
    files.write(key=files.leaf.pem)
    assert broken(files.sheet(), now)["key-readable"].actual == "missing"


def test_a_key_from_a_variable_that_is_not_set(files: Any, now: datetime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TEST_TLS_KEY", raising=False)
    found = broken(files.sheet(tls={"key": "env:TEST_TLS_KEY"}), now)
    assert "TEST_TLS_KEY" in found["key-readable"].message
    monkeypatch.setenv("TEST_TLS_KEY", files.leaf.key_pem().decode())
    assert broken(files.sheet(tls={"key": "env:TEST_TLS_KEY"}), now) == {}


def test_a_key_of_another_certificate(files: Any, now: datetime, make: Any):
    files.write(key=make("other").key_pem())
    finding = broken(files.sheet(), now)["key-matches"]
    assert (finding.status, finding.blocking) == ("fail", True)
    read = given.read(files.sheet().tls)
    assert read is not None
    assert read.pair is None


def test_a_name_that_the_certificate_lacks(files: Any, now: datetime):
    want = files.sheet(mail_names=["mail.example.test", "imap.example.test"])
    finding = broken(want, now)["certificate-names"]
    assert (finding.subject, finding.blocking) == ("imap.example.test", True)
    assert [f.status for f in judge(want, now)["certificate-names"]] == ["pass", "fail"]


def test_a_common_name_alone(files: Any, now: datetime, make: Any):
    leaf = make("mail.example.test", files.middle)
    files.write(certificate=leaf.pem, key=leaf.key_pem())
    assert "common name alone" in broken(files.sheet(), now)["certificate-names"].message


@pytest.mark.parametrize(
    ("days", "severity_and_words"),
    [
        ((-90, -1), ("critical", "has expired")),
        ((2, 80), ("critical", "is not valid yet")),
        ((-80, 5), ("medium", "expires in 5 days")),
    ],
)
def test_dates(files: Any, now: datetime, make: Any, days: tuple[int, int], severity_and_words: tuple[str, str]):
    severity, words = severity_and_words
    leaf = make("mail.example.test", files.middle, names=("mail.example.test",), days=days)
    files.write(certificate=leaf.pem, key=leaf.key_pem())
    finding = broken(files.sheet(), now)["certificate-dates"]
    assert (finding.severity, finding.blocking) == (severity, severity == "critical")
    assert words in finding.message


def test_an_expired_intermediate(files: Any, now: datetime, make: Any):
    middle = make("Intermediate", files.root, ca=True, key=files.middle.key, days=(-500, -1))
    files.write(chain=middle.pem)
    finding = broken(files.sheet(), now)["certificate-dates"]
    assert (finding.subject, finding.blocking) == ("Intermediate", True)


def test_the_intermediate_is_missing(files: Any, now: datetime):
    files.write(chain=b"")
    finding = broken(files.sheet(), now)["chain-complete"]
    assert (finding.actual, finding.blocking) == ("ends at 'Intermediate'", True)


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_odd_certificate_is_named(files: Any, now: datetime, make: Any, oddity: str):
    middle = make("Intermediate", files.root, ca=True, key=files.middle.key, days=(-500, 500), key_id=True)
    files.write(chain=odd(middle.pem.decode(), oddity).encode())
    finding = broken(files.sheet(), now)["certificate-given"]
    assert "certificate 2 there (tls.chain counts on) cannot be read: " in finding.actual


def test_an_odd_root_vouches_for_nobody(files: Any, now: datetime, make: Any):
    stranger = make("Stranger", ca=True, key_id=True)
    files.write(trust=b"".join(odd(stranger.pem.decode(), one).encode() for one in ODDITIES) + files.root.pem)
    assert broken(files.sheet(), now) == {}


def test_self_signed(files: Any, now: datetime, make: Any):
    alone = make("mail.example.test", names=("mail.example.test",))
    files.write(certificate=alone.pem, key=alone.key_pem(), chain=b"")
    assert broken(files.sheet(), now)["chain-complete"].actual == "self-signed"


def test_an_authority_that_nobody_trusts(files: Any, now: datetime):
    want = files.sheet(tls={"trust": None})
    assert "tls.trust" in broken(want, now)["chain-complete"].remedy


@pytest.mark.parametrize("order", ["root too", "turned round", "a stranger"])
def test_order_is_put_right_and_told(files: Any, now: datetime, make: Any, order: str):
    contents = {
        "root too": (files.leaf.pem, files.middle.pem + files.root.pem),
        "turned round": (files.middle.pem + files.leaf.pem, b""),
        "a stranger": (files.leaf.pem + make("stranger").pem, files.middle.pem),
    }[order]
    files.write(certificate=contents[0], chain=contents[1])
    assert broken(files.sheet(), now) == {}
    assert "is put in this order" in judge(files.sheet(), now)["chain-complete"][0].actual
    read = given.read(files.sheet().tls)
    assert read is not None
    assert read.pair is not None
    assert read.pair.fullchain_pem == files.leaf.pem + files.middle.pem


def test_a_weak_key(files: Any, now: datetime, make: Any):
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505  # weak on purpose
    leaf = make("mail.example.test", files.middle, names=("mail.example.test",), key=weak)
    files.write(certificate=leaf.pem, key=leaf.key_pem())
    finding = broken(files.sheet(), now)["certificate-strength"]
    assert (finding.actual, finding.blocking) == ("a weak key (RSA 1024)", True)


def test_a_signature_with_sha_1(files: Any):
    issued = lab.issue(["mail.example.test"], sha1=True)
    files.write(certificate=issued.leaf.encode(), chain=issued.intermediate.encode())
    files.write(trust=issued.root.encode(), key=issued.key.encode())
    finding = broken(files.sheet(), datetime.now(UTC))["certificate-strength"]
    assert (finding.actual, finding.blocking) == ("a weak signature (sha1)", True)


@pytest.mark.parametrize(
    ("level", "severity", "blocking"), [("phase_out", "low", False), ("insufficient", "high", True)]
)
def test_the_policy_judges_signatures_and_dates_as_it_does_where_they_are_served(
    files: Any,
    now: datetime,
    level: Level,
    severity: str,
    blocking: bool,  # noqa: FBT001  # a table
):
    line = Line(names=["*"], level=level, source="a test")
    limits = shipped().limits.model_copy(update={"days_left": Limit(least=100, source="a test")})
    policy = shipped().model_copy(update={"signatures": [line], "limits": limits})
    read = given.read(files.sheet().tls)
    found = {f.id: f for f in checks.certificate(read, files.sheet(), now, policy) if f.subject == "mail.example.test"}
    assert (found["certificate-strength"].severity, found["certificate-strength"].blocking) == (severity, blocking)
    seen = TlsSeen(Target("imaps", "192.0.2.1", 993, "mail.example.test"), chain=(decode(files.leaf.pem.decode()),))
    served = [*tls_checks.strength([seen], policy), *tls_checks.dates([seen], policy, now=now)]
    ours = [found["certificate-strength"], found["certificate-dates"]]
    assert [(f.status, f.severity) for f in served] == [(f.status, f.severity) for f in ours]
    assert {f.status for f in served} == {"fail"}
