"""What a server offers by TLS, held against the policy: versions, cipher suites, key exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mailhost.checks.outcome import observed, unobserved
from mailhost.finding import Finding, Severity, Status
from mailhost.policy import LEVELS, Level, Policy
from mailhost.probes.offers import Ciphers, Versions
from mailhost.sheet import Sheet

_ORDER = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def versions(seen: Iterable[Versions], want: Sheet, policy: Policy) -> list[Finding]:
    """``tls-old-versions``: every version that is too old, or older than the sheet wants, is refused by the server."""
    minimum = want.tls.minimum if want.tls else "TLSv1.2"
    return [_versions(one, minimum, policy) for one in seen]


def _versions(seen: Versions, minimum: str, policy: Policy) -> Finding:
    levels = {version: policy.version(version) for version in _ORDER}
    old = [version for version in _ORDER if _ORDER.index(version) < _ORDER.index(minimum)]
    levels |= dict.fromkeys(old, "insufficient")
    expected = f"refused by the server: {', '.join(v for v in _ORDER if _rank(levels[v]) >= _rank('phase_out'))}"
    actual = "; ".join(f"{version} {reply.answer}: {reply.how}" for version, reply in seen.replies)
    bad, severity = _worst(seen.offered, levels)
    if bad:
        return _finding(
            "tls-old-versions",
            seen,
            "fail",
            severity=severity,
            expected=expected,
            actual=actual,
            message=f"{seen.target} speaks {', '.join(bad)}. Whoever stands in between can have client and server "
            "fall back to it, and it protects passwords and mail no more.",
            remedy=f"set ssl_min_protocol = {minimum} (2.2: ssl_protocols), and take @SECLEVEL=0 or 1 out of "
            "ssl_cipher_list; on Red Hat `update-crypto-policies --set DEFAULT`.",
        )
    asked = [f"{version}: {reply.how}" for version, reply in seen.replies
             if reply.answer == "unknown" and levels[version] in ("phase_out", "insufficient")]  # fmt: skip
    if asked:
        return _unknown("tls-old-versions", seen, "; ".join(asked))
    if not seen.offered:
        # A server that refuses everything proves nothing about what it would refuse.
        return _unknown("tls-old-versions", seen, f"no version at all was agreed on ({actual})")
    return _finding("tls-old-versions", seen, "pass", expected=expected, actual=actual)


def ciphers(seen: Iterable[Ciphers], policy: Policy) -> list[Finding]:
    """``tls-ciphers``: no cipher suite is offered that the policy calls insufficient or would phase out."""
    return [
        _judge(
            one,
            "tls-ciphers",
            one.suites,
            policy.suite,
            policy,
            follows="Whoever records such a session, or stands in between, may come to read it.",
            remedy="take them out of ssl_cipher_list, or remove that setting of your own: from 2.3 on Dovecot's "
            "default does not offer them, and for 2.2 section 05_secure sets it; on Red Hat 8 and later leave it at "
            "PROFILE=SYSTEM.",
        )
        for one in seen
    ]


def key_exchange(seen: Iterable[Ciphers], policy: Policy) -> list[Finding]:
    """``tls-key-exchange``: no group is agreed on that the policy calls insufficient or would phase out."""
    return [
        _judge(
            one,
            "tls-key-exchange",
            one.groups,
            policy.group,
            policy,
            follows="The session's keys can be worked out from what was recorded, and with them passwords and mail.",
            remedy="take them out of ssl_curve_list, or remove that setting and @SECLEVEL=0 in ssl_cipher_list (2.2 "
            "has no setting for curves: its OpenSSL decides); for DH give ssl_dh (2.4: ssl_server_dh_file, 2.2: "
            f"ssl_dh_parameters_length) parameters of {policy.dh_bits} bits or more.",
        )
        for one in seen
    ]


def _judge(
    seen: Ciphers,
    check: str,
    names: Sequence[str],
    level: Callable[[str], Level],
    policy: Policy,
    *,
    follows: str,
    remedy: str,
) -> Finding:
    levels = {name: level(name) for name in names}
    counted = {step: [name for name in names if levels[name] == step] for step in LEVELS}
    actual = "; ".join(f"{len(found)} {step.replace('_', ' ')}" for step, found in counted.items() if found)
    expected = f"good and sufficient ones only (policy of {policy.dated})"
    bad, severity = _worst(names, levels)
    if bad:
        rest = f" and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
        return _finding(
            check,
            seen,
            "fail",
            severity=severity,
            expected=expected,
            actual=f"{actual}: {', '.join(bad[:_TOLD])}{rest}",
            message=f"{seen.target} offers {', '.join(bad[:_TOLD])}{rest}. {follows}",
            remedy=remedy,
        )
    if seen.unknown or not seen.suites:
        return _unknown(check, seen, "; ".join(seen.unknown) or "the server refused every suite")
    return _finding(check, seen, "pass", expected=expected, actual=actual or "none")


_TOLD = 6  # names in a message


def _worst(names: Sequence[str], levels: Mapping[str, Level]) -> tuple[list[str], Severity]:
    """What is not good enough, the worst first, and how bad that is."""
    bad = [name for step in ("insufficient", "phase_out") for name in names if levels[name] == step]
    return bad, "high" if any(levels[name] == "insufficient" for name in bad) else "low"


def _rank(level: str) -> int:
    return [*LEVELS].index(level)  # type: ignore[arg-type]


_TITLES = {
    "tls-old-versions": "the server refuses old TLS versions",
    "tls-ciphers": "weak cipher suites are not offered",
    "tls-key-exchange": "keys are exchanged by strong groups",
}


def _unknown(check: str, seen: Versions | Ciphers, why: str) -> Finding:
    remedy = "mend what is named there and run it again; the transcript has each hello and its reply."
    return unobserved(check, _TITLES[check], seen, why, remedy)


def _finding(check: str, seen: Versions | Ciphers, status: Status, **told: Any) -> Finding:
    return observed(check, _TITLES[check], seen, status, **told)
