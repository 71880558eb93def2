"""Versions, suites and groups against the policy: what passes, what fails and how badly, what stays open."""

from __future__ import annotations

import pytest
from canned import want

from mailhost import sheet
from mailhost.checks import offers as checks
from mailhost.policy import shipped
from mailhost.probes.offers import Ciphers, Reply, Versions
from mailhost.probes.target import Target

TARGET = Target("imaps", "192.0.2.1", 993, "mail.example.test")
VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
WANT = want()
GOOD = ("TLS_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")


def seen(*offered: str, unknown: str = "") -> Versions:
    def reply(version: str) -> Reply:
        if version == unknown:
            return Reply("unknown", "an answer did not come within 10 s")
        return Reply("agreed", f"{version} x") if version in offered else Reply("refused", "alert protocol_version")

    return Versions(TARGET, tuple((version, reply(version)) for version in VERSIONS))


@pytest.mark.parametrize(
    ("versions", "status", "severity"),
    [
        (seen("TLSv1.2", "TLSv1.3"), "pass", "high"),
        (seen("TLSv1.2"), "pass", "high"),
        (seen("TLSv1.1", "TLSv1.2"), "fail", "high"),
        (seen("TLSv1"), "fail", "high"),
        (seen("SSLv3", "TLSv1.3"), "fail", "high"),
        (seen("TLSv1.2", unknown="SSLv3"), "unknown", "high"),
        (seen("TLSv1", "TLSv1.2", unknown="SSLv3"), "fail", "high"),
        (seen("TLSv1.2", unknown="TLSv1.3"), "pass", "high"),
        (seen(), "unknown", "high"),
    ],
)
def test_old_versions(versions: Versions, status: str, severity: str) -> None:
    (finding,) = checks.versions([versions], WANT, shipped())
    assert (finding.id, finding.status, finding.severity) == ("tls-old-versions", status, severity)
    assert all(version in finding.expected for version in ("SSLv3", "TLSv1", "TLSv1.1")) or status == "unknown"


def test_a_version_below_the_sheets_minimum_is_too_old() -> None:
    tls = {"certificate": "c.pem", "key": "file:k.pem", "minimum": "TLSv1.3"}
    strict = WANT.model_copy(update={"tls": sheet.Tls.model_construct(**tls)})
    (finding,) = checks.versions([seen("TLSv1.2", "TLSv1.3")], strict, shipped())
    assert finding.status == "fail"
    assert "TLSv1.2" in finding.message


@pytest.mark.parametrize(
    ("suites", "status", "severity"),
    [
        (GOOD, "pass", "high"),
        ((*GOOD, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"), "pass", "high"),
        ((*GOOD, "TLS_RSA_WITH_AES_128_GCM_SHA256"), "fail", "low"),
        ((*GOOD, "TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_SHA"), "fail", "high"),
        ((*GOOD, "TLS_ECDH_anon_WITH_AES_256_CBC_SHA"), "fail", "high"),
        ((*GOOD, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"), "fail", "high"),
        ((*GOOD, "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256"), "fail", "high"),
        ((), "unknown", "high"),
    ],
)
def test_ciphers(suites: tuple[str, ...], status: str, severity: str) -> None:
    (finding,) = checks.ciphers([Ciphers(TARGET, suites, ("x25519",))], shipped())
    assert (finding.id, finding.status, finding.severity) == ("tls-ciphers", status, severity)


@pytest.mark.parametrize(
    ("groups", "status", "severity"),
    [
        (("x25519", "secp256r1", "ffdhe2048", "DH 2048 bits"), "pass", "high"),
        (("x25519", "DH 1024 bits"), "fail", "high"),
        (("x25519", "secp192r1"), "fail", "high"),
        (("x25519", "secp224r1"), "fail", "low"),
        (("a curve of the server's own",), "fail", "high"),
        ((), "pass", "high"),  # RSA alone: that is for tls-ciphers to tell
    ],
)
def test_key_exchange(groups: tuple[str, ...], status: str, severity: str) -> None:
    (finding,) = checks.key_exchange([Ciphers(TARGET, GOOD, groups)], shipped())
    assert (finding.id, finding.status, finding.severity) == ("tls-key-exchange", status, severity)


def test_what_was_found_fails_even_where_not_all_was_found_out() -> None:
    open_end = Ciphers(TARGET, ("TLS_RSA_WITH_RC4_128_SHA",), ("x25519",), unknown=("no answer",))
    assert [f.status for f in checks.ciphers([open_end], shipped())] == ["fail"]
    assert [f.status for f in checks.key_exchange([open_end], shipped())] == ["unknown"]
