"""TLS as clients see it: handshakes, versions, and that what is served is what the sheet names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from mailhost.checks.outcome import observed, unobserved
from mailhost.finding import Finding, Severity, Status
from mailhost.policy import LEVELS, Level, Policy, shipped
from mailhost.probes.certificate import Certificate
from mailhost.probes.tls import TlsSeen
from mailhost.sheet import Sheet

_VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def served(seen: Iterable[TlsSeen], want: Sheet, intended: Sequence[str], *, now: datetime) -> list[Finding]:
    """All checks below, port by port.

    ``intended`` are the SHA-256 fingerprints of what should be sent, the leaf first, the root left out.
    """
    results = list(seen)
    policy = shipped()
    return [
        *handshake(results),
        *version(results, want),
        *certificate(results, intended),
        *chain(results, intended),
        *verified(results),
        *names(results, want),
        *dates(results, policy, now=now),
        *strength(results, policy),
    ]


def handshake(seen: Iterable[TlsSeen]) -> list[Finding]:
    """``tls-handshake``: each TLS port and each STARTTLS shakes hands."""
    return [_handshake(s) for s in seen]


def _handshake(s: TlsSeen) -> Finding:
    if s.error is None:
        return _finding("tls-handshake", s, "pass", expected="a handshake", actual=f"{s.protocol} {s.cipher}")
    if s.broke not in ("tls", "refused"):
        return _unknown("tls-handshake", s)
    return _finding(
        "tls-handshake",
        s,
        "fail",
        severity="critical",
        expected="a handshake",
        actual=s.error,
        message=f"{s.target} does not shake hands: {s.error}. No client gets in by TLS there.",
        remedy="look into Dovecot's log for `Can't load ... key` or `Key is for a different cert`, whether ssl is on, "
        "and whether certificate and key are a pair; apply section 05_secure.",
    )


def version(seen: Iterable[TlsSeen], want: Sheet) -> list[Finding]:
    """``tls-version``: what is agreed on is at least the sheet's minimum."""
    minimum = want.tls.minimum if want.tls else "TLSv1.2"
    return [_version(s, minimum) for s in seen]


def _version(s: TlsSeen, minimum: str) -> Finding:
    expected = f"{minimum} or later"
    if s.error is not None or s.protocol not in _VERSIONS:
        return _unknown("tls-version", s, None if s.error else f"the version {s.protocol!r} is not one that we know")
    if _VERSIONS.index(s.protocol) >= _VERSIONS.index(minimum):
        return _finding("tls-version", s, "pass", expected=expected, actual=f"{s.protocol} {s.cipher}")
    return _finding(
        "tls-version",
        s,
        "fail",
        severity="high",
        expected=expected,
        actual=f"{s.protocol} {s.cipher}",
        message=f"{s.target} agrees on {s.protocol} at best, the sheet wants {minimum} or later. "
        "What is said there is less well protected than it should be.",
        remedy=f"set ssl_min_protocol = {minimum} (2.2: ssl_protocols) and update OpenSSL on the server where it knows "
        "no later version, or lower tls.minimum in the sheet.",
    )


def certificate(seen: Iterable[TlsSeen], intended: Sequence[str]) -> list[Finding]:
    """``served-certificate``: the leaf that is served is the one that the sheet names."""
    return [_certificate(s, intended) for s in seen]


def _certificate(s: TlsSeen, intended: Sequence[str]) -> Finding:
    if s.leaf is None or not intended:
        return _unknown("served-certificate", s, None if intended else "the sheet names no certificate")
    expected, actual = f"SHA-256 {intended[0]}", f"SHA-256 {s.leaf.sha256} ({s.leaf.subject})"
    if s.leaf.sha256 == intended[0]:
        return _finding("served-certificate", s, "pass", expected=expected, actual=actual)
    return _finding(
        "served-certificate",
        s,
        "fail",
        severity="high",
        expected=expected,
        actual=actual,
        message=f"{s.target} serves another certificate than the sheet's: {s.leaf.subject}, issued by {s.leaf.issuer}, "
        f"until {s.leaf.not_after:%Y-%m-%d}. Users see the old or a wrong one.",
        remedy="apply section 05_secure, or 07_renew_certificate, which only reloads (both install the certificate and "
        "have Dovecot load it); look for a local_name or protocol block with a certificate of its own "
        "(`doveconf -n`), and for a proxy in front of the port.",
    )


def chain(seen: Iterable[TlsSeen], intended: Sequence[str]) -> list[Finding]:
    """``served-chain``: leaf and intermediates are sent, in their order and without the root."""
    return [_chain(s, intended) for s in seen]


def _chain(s: TlsSeen, intended: Sequence[str]) -> Finding:
    if not s.chain or not intended:
        return _unknown("served-chain", s, None if intended else "the sheet names no certificate")
    fault, severity = _chain_fault(s.chain, intended)
    expected = f"{len(intended)} certificates: the leaf, then its intermediates in order"
    actual = " > ".join(c.subject for c in s.chain)
    if not fault:
        return _finding("served-chain", s, "pass", expected=expected, actual=actual)
    return _finding(
        "served-chain",
        s,
        "fail",
        severity=severity,
        expected=expected,
        actual=actual,
        message=f"{s.target} sends {fault}. "
        + ("It costs bytes and nothing else." if severity == "low" else "Some clients cannot verify the certificate."),
        remedy="put the leaf and its intermediates, in this order and without the root, into the file of ssl_cert "
        "(2.4: ssl_server_cert_file), as section 05_secure does; ssl_ca does not carry the chain since Dovecot 2.3.",
    )


def _chain_fault(sent: Sequence[Certificate], intended: Sequence[str]) -> tuple[str, Severity]:
    """What is wrong with the chain as sent, and how bad that is; empty when nothing is.

    The leaf itself is the business of ``served-certificate``: here its place in the chain counts.
    """
    leaf, *rest = [c.sha256 for c in sent]
    wanted = list(intended[1:])
    if rest == wanted:
        return "", "low"
    roots = [c for c in sent[1:] if c.self_issued and c.sha256 not in intended]
    without = [c.sha256 for c in sent[1:] if c not in roots]
    if roots and without == wanted:
        return "the root as well, which clients have or do not trust", "low"
    if not rest:
        return "the leaf only, its intermediates are missing", "high"
    if sorted(without) == sorted(wanted) or sorted([leaf, *without]) == sorted(intended):
        return "the right certificates in a wrong order", "medium"
    if set(without) < set(wanted):
        return "not all of its intermediates", "high"
    return "other intermediates than those that the sheet names", "high"


def verified(seen: Iterable[TlsSeen]) -> list[Finding]:
    """``served-verified``: a client that has only the root, and the name, believes it."""
    return [_verified(s) for s in seen]


def _verified(s: TlsSeen) -> Finding:
    expected = f"verification with only the root and the name {s.target.name}: ok"
    if s.error is not None or s.verified is None:
        return _unknown("served-verified", s, None if s.error else "two calls of openssl did not agree, or one failed")
    if s.verified:
        return _finding("served-verified", s, "pass", expected=expected, actual="0 (ok)")
    said = "; ".join(f"{code} ({text})" for code, text in s.problems) or f"{s.verify_code} ({s.verify_text})"
    return _finding(
        "served-verified",
        s,
        "fail",
        severity="high",
        expected=expected,
        actual=said,
        message=f"{s.target}: clients do not believe the certificate for {s.target.name}: {said}. "
        "They warn their users or refuse to connect.",
        remedy=_VERIFY_REMEDY.get(
            _first_code(s), "compare names, dates and chain above with the sheet, then apply section 05_secure."
        ),
    )


def _first_code(s: TlsSeen) -> int:
    codes = [code for code, _ in s.problems] or [s.verify_code or 0]
    # 20 and 21 come together; the name and the dates say more where they are among them
    return next((code for code in codes if code in (_EXPIRED, 62, 64)), codes[0])


# The codes of X509_V_ERR_*, see `man openssl-verification-options`
_VERIFY_REMEDY = {
    9: "the certificate is not valid yet: check the clocks here and on the server, and the dates above.",
    10: "renew the certificate and apply section 05_secure.",
    18: "a self-signed certificate is served: name a real one in the sheet and apply section 05_secure.",
    19: "the root is not trusted here: name it in tls.trust of the sheet, or use a public authority.",
    20: "an intermediate is missing or the root is unknown: name the intermediates in tls.chain and a private root in "
    "tls.trust of the sheet, then apply section 05_secure.",
    21: "the intermediates are not sent: name them in tls.chain of the sheet, then apply section 05_secure.",
    62: "the certificate is for other names: get one for this name, or correct mail_names in the sheet.",
    64: "the certificate is for other addresses: get one for this address, or correct mail_names in the sheet.",
}


def names(seen: Iterable[TlsSeen], want: Sheet) -> list[Finding]:
    """``served-names``: the certificate that is served bears every name that users type."""
    return [_names(s, want.mail_names) for s in seen]


def _names(s: TlsSeen, wanted: Sequence[str]) -> Finding:
    if s.leaf is None:
        return _unknown("served-names", s)
    missing = [name for name in wanted if not any(covers(pattern, name) for pattern in s.leaf.names)]
    actual = ", ".join(s.leaf.names) or f"no alternative names ({s.leaf.subject})"
    if not missing:
        return _finding("served-names", s, "pass", expected=", ".join(wanted), actual=actual)
    return _finding(
        "served-names",
        s,
        "fail",
        severity="high",
        expected=", ".join(wanted),
        actual=actual,
        message=f"the certificate at {s.target} is not for {', '.join(missing)}. Clients that use this name warn their "
        "users or refuse to connect.",
        remedy="get a certificate with all mail_names of the sheet, or correct mail_names.",
    )


def covers(pattern: str, name: str) -> bool:
    """Whether a name in a certificate is for a host name; ``*`` stands for one whole label (RFC 6125)."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == name
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and "." in rest


def dates(seen: Iterable[TlsSeen], policy: Policy, *, now: datetime) -> list[Finding]:
    """``served-dates``: the certificate that is served is valid, and not about to end."""
    return [_dates(s, policy, now) for s in seen]


def _dates(s: TlsSeen, policy: Policy, now: datetime) -> Finding:
    if s.leaf is None:
        return _unknown("served-dates", s)
    left = s.leaf.days_left(now)
    expected = f"valid, {policy.days_left} days left or more"
    actual = f"{s.leaf.not_before:%Y-%m-%d} to {s.leaf.not_after:%Y-%m-%d}, {left} days left"
    severity: Severity = "critical"
    if s.leaf.not_after <= now:
        fault = "has expired: clients refuse it"
    elif s.leaf.not_before > now:
        fault = "is not valid yet: clients refuse it"
    elif left < policy.days_left:
        fault, severity = f"ends in {left} days, and then nobody gets their mail", "medium"
    else:
        return _finding("served-dates", s, "pass", expected=expected, actual=actual)
    return _finding(
        "served-dates",
        s,
        "fail",
        severity=severity,
        expected=expected,
        actual=actual,
        message=f"the certificate at {s.target} {fault} ({actual}).",
        remedy="renew it, name the new one in the sheet and apply section 05_secure; check this machine's clock if the "
        "dates look right.",
    )


def strength(seen: Iterable[TlsSeen], policy: Policy) -> list[Finding]:
    """``served-strength``: no certificate that is served has a weak key or signature."""
    return [_strength(s, policy) for s in seen]


def _strength(s: TlsSeen, policy: Policy) -> Finding:
    if not s.chain:
        return _unknown("served-strength", s)
    # nobody checks a root's signature of itself: clients have it, or do not trust it
    judged = [(c, *weakness(c, policy, signed=not c.self_issued or c is s.leaf)) for c in s.chain]
    expected = f"RSA from {policy.rsa_bits} bits or a curve from {policy.ec_bits}, signed with SHA-2"
    actual = "; ".join(f"{c.subject}: {c.key}, {c.signature or 'a signature with its own hash'}" for c in s.chain)
    weak = [f"{c.subject} has {fault}" for c, fault, _ in judged if fault]
    if not weak:
        return _finding("served-strength", s, "pass", expected=expected, actual=actual)
    high = any(fault and level == "insufficient" for _, fault, level in judged)
    return _finding(
        "served-strength",
        s,
        "fail",
        severity="high" if high else "low",
        expected=expected,
        actual=actual,
        message=f"at {s.target} {'; '.join(weak)}. Today's clients refuse it, and it can be forged."
        if high
        else f"at {s.target} {'; '.join(weak)}. It is to be phased out.",
        remedy="get a certificate with an RSA key of 2048 bits or more, or a P-256 key, signed with SHA-256; name it "
        "in the sheet and apply section 05_secure.",
    )


def weakness(certificate: Certificate, policy: Policy, *, signed: bool) -> tuple[str, Level]:
    """What is weak about a certificate, and how the policy calls that; empty when nothing is."""
    least = {"RSA": policy.rsa_bits, "EC": policy.ec_bits, "Ed25519": 0, "Ed448": 0}
    kind = certificate.key.split()[0]
    if kind not in least or certificate.key_bits < least[kind]:
        return f"a weak key ({certificate.key})", "insufficient"
    level = policy.signature(certificate.signature or "none")
    if signed and level in LEVELS[2:]:
        return f"a weak signature ({certificate.signature})", level
    return "", level


_TITLES = {
    "tls-handshake": "TLS shakes hands",
    "tls-version": "the TLS version is recent enough",
    "served-certificate": "the certificate served is the sheet's",
    "served-chain": "the chain is sent whole and in order",
    "served-verified": "the certificate is verified with the root and the name",
    "served-names": "the certificate bears the names that users type",
    "served-dates": "the certificate is valid and has time left",
    "served-strength": "keys and signatures of what is served are strong enough",
}


def _unknown(check: str, s: TlsSeen, reason: str | None = None) -> Finding:
    why = reason or s.error or "no certificate was seen"
    remedy = "mend what is named there and run it again; the transcript has what openssl said."
    return unobserved(check, _TITLES[check], s, why, remedy)


def _finding(check: str, s: TlsSeen, status: Status, **told: Any) -> Finding:
    return observed(check, _TITLES[check], s, status, **told)
