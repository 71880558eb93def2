"""What the system itself rules beside Dovecot: SELinux's labels, and Red Hat's policy for cryptography."""

from __future__ import annotations

from mailhost import pki
from mailhost.checks.dovecot import stands_in
from mailhost.checks.outcome import judged, skipped
from mailhost.facts.crypto_policy import CryptoPolicy
from mailhost.facts.dovecot import Dovecot
from mailhost.facts.labels import Labels, Wrong
from mailhost.finding import Finding
from mailhost.sheet import Sheet

# Homes are full of it, and SELinux's rules for Dovecot allow it there.
_AS_GOOD = "user_home_t"
# What Dovecot may read by SELinux's reference policy.
_READABLE = frozenset({"cert_t", "dovecot_cert_t", "dovecot_etc_t", "etc_t", "mail_home_rw_t", "user_home_t"})
_SYSTEM = "PROFILE=SYSTEM"
_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# From this security level on OpenSSL does not load keys below these sizes (SSL_CTX_set_security_level(3)).
_STRICT, _RSA_BITS, _EC_BITS = 3, 3072, 256


def selinux_label(labels: Labels) -> list[Finding]:
    """``selinux-label``: what Dovecot reads bears the labels that SELinux's policy wants; nothing without SELinux."""
    finding = ("selinux-label", "files bear the labels that SELinux wants")
    if not labels.matter:
        return []
    enforcing = labels.mode == "enforcing"
    if labels.problem and not enforcing:
        return [skipped(*finding, f"SELinux is permissive, and restorecon did not tell: {labels.problem}", fact=labels)]
    if labels.problem:
        return [
            judged(
                None,
                *finding,
                labels,
                expected="what the policy says",
                actual=f"restorecon: {labels.problem}",
                message="SELinux enforces, and whether the labels are right is not known: Dovecot is denied to read a "
                "file with a wrong one, although root can.",
                remedy="install policycoreutils, then `restorecon -n -v` on certificate, key and configuration.",
                severity="high",
            )
        ]
    wrong = [row for row in labels.wrong if not (row.now == _AS_GOOD and row.should == "mail_home_rw_t")]
    if not wrong:
        actual = f"{len(labels.files)} files looked at, SELinux {labels.mode}"
        return [judged(True, *finding, labels, actual=actual, message="", remedy="")]
    return [_mislabelled(row, labels, enforcing=enforcing) for row in wrong]


def _mislabelled(row: Wrong, labels: Labels, *, enforcing: bool) -> Finding:
    now = row.now or "no label"
    if row.now in _READABLE and row.should not in _READABLE:
        follows = "Dovecot may read it as it is, until somebody relabels the system and it gets the other one"
        remedy = f"keep it: `semanage fcontext -a -t {row.now} '{row.path}(/.*)?'`; or move the file to where the "
        remedy += "distribution keeps such files."
    else:
        follows = "as a file does that was moved from elsewhere. "
        follows += "SELinux may deny Dovecot to read it, although root can: TLS or mail fails with 'Permission denied'"
        follows += "" if enforcing else ", once SELinux enforces"
        remedy = f"`restorecon -v {row.path}`"
    return judged(
        False,
        "selinux-label",
        "files bear the labels that SELinux wants",
        labels,
        subject=row.path,
        expected=row.should,
        actual=now,
        message=f"{row.path} bears {now} and not {row.should}: {follows}.",
        remedy=remedy,
        severity="high" if enforcing else "low",
    )


def crypto_policy(policy: CryptoPolicy, found: Dovecot, pair: pki.Pair | None, want: Sheet) -> list[Finding]:
    """``crypto-policy``: the system's policy is fit for mail and Dovecot heeds it; nothing where there is none."""
    if not policy.name:
        return []
    heeded = [] if found.version is None else [_heeded(policy, found)]
    return [_fit(policy, pair, want), *heeded]


def _fit(policy: CryptoPolicy, pair: pki.Pair | None, want: Sheet) -> Finding:
    message, remedy = _unfit(policy, pair, want.tls.minimum if want.tls else "TLSv1.2")
    told = [f"{word} {value}" for word, value in (("from", policy.minimum), ("to", policy.maximum)) if value]
    return judged(
        not message,
        "crypto-policy",
        "the system's policy for cryptography is fit and heeded",
        policy,
        subject="policy",
        expected="DEFAULT or stricter, and room for what the sheet says",
        actual=" ".join([policy.name, *told]),
        message=message,
        remedy=remedy,
        severity="high",
    )


def _unfit(policy: CryptoPolicy, pair: pki.Pair | None, minimum: str) -> tuple[str, str]:
    """What is wrong with the policy, and what to do; both empty when nothing is."""
    message = remedy = ""
    weak = _weak(pair) if (policy.level or 0) >= _STRICT else ""
    if policy.base == "LEGACY":
        message = "the system's policy is LEGACY: every program on it, Dovecot too, takes ciphers and signatures that "
        message += "are known to be weak, whatever tls.minimum says."
        remedy = "see who still needs LEGACY; then `update-crypto-policies --set DEFAULT`, and restart the server."
    elif _older(policy.maximum, minimum):
        message = f"the policy {policy.name} ends at {policy.maximum} and the sheet begins at {minimum}: no client "
        message += "could connect over TLS."
        remedy = f"set tls.minimum to {policy.maximum} in the sheet, or another policy with update-crypto-policies."
    elif _older(minimum, policy.minimum):
        message = f"the policy {policy.name} allows nothing older than {policy.minimum}, and Dovecot would speak "
        message += f"{minimum} all the same, for the sheet says so: it is less strict than the server's owner means."
        remedy = f"set tls.minimum to {policy.minimum} in the sheet."
    elif weak:
        message = f"the policy {policy.name} (OpenSSL's security level {policy.level}) and the certificate do not go "
        message += f"together: {weak}. Dovecot could not load it, and every TLS client would be dropped."
        remedy = f"request a certificate with an RSA key of {_RSA_BITS} bits or a P-256 key, or set another policy: "
        remedy += "`update-crypto-policies --set DEFAULT`, and restart the server."
    return message, remedy


def _weak(pair: pki.Pair | None) -> str:
    """The first certificate of the chain whose key is too small for the strict level."""
    sent = (pair.leaf, *pair.chain) if pair else ()
    reasons = ((pki.name(each.subject), pki.weakness(each, rsa_bits=_RSA_BITS, ec_bits=_EC_BITS)) for each in sent)
    return next((f"{name} has {why}" for name, why in reasons if why), "")


def _older(one: str, other: str) -> bool:
    """Whether a TLS version comes before another; not where one of them is not known."""
    return one in _VERSIONS and other in _VERSIONS and _VERSIONS.index(one) < _VERSIONS.index(other)


def _heeded(policy: CryptoPolicy, found: Dovecot) -> Finding:
    where = stands_in(found, ("ssl_cipher_list",))
    told = found.ciphers is not None
    if told:
        message = f"ssl_cipher_list is {found.ciphers}{f', by {where}' if where else ''}, and not {_SYSTEM}: Dovecot "
        message += f"takes no part in the system's policy ({policy.name}), nor in any change of it."
        remedy = f"set `ssl_cipher_list = {_SYSTEM}` there, as Red Hat's package does"
        remedy += f" ({where})." if where else ", in /etc/dovecot/conf.d/10-ssl.conf."
    else:
        message = f"doveconf did not tell ssl_cipher_list: whether Dovecot heeds the policy {policy.name} is not known."
        remedy = "run `doveconf ssl_cipher_list` on the server and see what it says."
    return judged(
        (found.ciphers or "").startswith(_SYSTEM) if told else None,
        "crypto-policy",
        "the system's policy for cryptography is fit and heeded",
        [policy, found],
        subject="ssl_cipher_list",
        expected=_SYSTEM,
        actual=(found.ciphers or "(empty)") if told else "not told",
        message=message,
        remedy=remedy,
    )
