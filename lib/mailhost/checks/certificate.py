"""Is the certificate that the sheet names fit to be served? Judged before anything is touched."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from mailhost import pki
from mailhost.checks.tls import weakness
from mailhost.finding import Finding
from mailhost.given import Given
from mailhost.policy import Policy, shipped
from mailhost.probes.certificate import decode
from mailhost.sheet import Sheet, Tls

_KEY_PROBLEMS = {
    "encrypted": "the private key is encrypted: Dovecot starts with it and then drops every TLS client",
    "unreadable": "the private key's PEM block cannot be read: it is damaged or of an unknown kind",
    "missing": "there is no private key in what the sheet leads to",
}

# by whether the files are here
_WHERE_CHAIN = {
    True: "put the intermediates that the authority sent along into tls.chain",
    False: "have tls.certificate_path name the client's file with the whole chain (fullchain.pem of certbot)",
}


def certificate(given: Given | None, want: Sheet, now: datetime, policy: Policy | None = None) -> list[Finding]:
    """Every finding about certificate, key and chain; none needs the server.

    Without a policy the one that ships is taken.
    """
    policy = policy or shipped()
    if want.tls is None or given is None:
        return [
            Finding(
                "certificate-given",
                "The sheet names a certificate",
                "fail",
                "critical",
                expected="tls.certificate and tls.key",
                actual="no tls in the sheet",
                message="the sheet names no certificate, and the runbook never invents one: logins would stay insecure",
                remedy="get a certificate for the mail names and give its files under tls: in the sheet.",
                blocking=True,
            )
        ]
    tls = want.tls
    first = _given(given, tls)
    if given.leaf is None or given.chain is None:
        return [first]
    sent = (given.leaf, *given.chain.intermediates)
    return [
        first,
        _key_readable(given, tls),
        _key_matches(given, tls),
        *(_names(given.leaf, wanted, tls) for wanted in want.mail_names),
        *(_dates(cert, now, policy) for cert in sent),
        _complete(given, given.chain, tls),
        *(_strength(cert, policy) for cert in sent),
    ]


def _given(given: Given, tls: Tls) -> Finding:
    title = "The sheet names a certificate"
    if given.leaf is not None:
        return Finding(
            "certificate-given", title, "pass", "critical", actual=pki.name(given.leaf.subject), blocking=True
        )
    return Finding(
        "certificate-given",
        title,
        "fail",
        "critical",
        expected=f"a PEM certificate in {tls.where}",
        actual=given.problem or "no certificate in it",
        message=f"{tls.where} holds no readable certificate, so there is none to serve",
        remedy="give the certificate in PEM form (-----BEGIN CERTIFICATE-----); "
        "`openssl x509 -inform der -in FILE` turns DER into PEM.",
        blocking=True,
    )


def _key_readable(given: Given, tls: Tls) -> Finding:
    title = "The private key can be read"
    if given.key_state == "readable":
        return Finding("key-readable", title, "pass", "critical", expected="readable", actual="readable", blocking=True)
    return Finding(
        "key-readable",
        title,
        "fail",
        "critical",
        expected="a private key in PEM form, not encrypted",
        actual=given.key_state,
        message=given.problem or _KEY_PROBLEMS[given.key_state],
        remedy=f"check the key that the sheet names ({tls.where_key}); `openssl pkey -in FILE` takes a passphrase off.",
        blocking=True,
    )


def _key_matches(given: Given, tls: Tls) -> Finding:
    title = "The private key belongs to the certificate"
    if given.key_state != "readable":
        return Finding(
            "key-matches", title, "skip", "critical", message="there is no readable key to compare", blocking=True
        )
    if given.pair is not None:
        return Finding(
            "key-matches", title, "pass", "critical", expected="the same public key", actual="the same", blocking=True
        )
    return Finding(
        "key-matches",
        title,
        "fail",
        "critical",
        expected="the same public key",
        actual="another public key",
        message=f"the key belongs to no certificate in {tls.where}: "
        "Dovecot would start with the two and then drop every TLS client",
        remedy="give the key with which this certificate was requested, or request a new certificate.",
        blocking=True,
    )


def _names(leaf: x509.Certificate, wanted: str, tls: Tls) -> Finding:
    title = "The certificate holds for every mail name"
    found = pki.names(leaf)
    shown = ", ".join(found) or "no subjectAltName"
    if pki.covers(found, wanted):
        return Finding("certificate-names", title, "pass", "critical", wanted, wanted, shown, blocking=True)
    return Finding(
        "certificate-names",
        title,
        "fail",
        "critical",
        subject=wanted,
        expected=wanted,
        actual=shown,
        message=f"the certificate does not hold for {wanted}: mail programs that use that name will warn or refuse"
        + ("" if found else "; a common name alone has counted for nothing since RFC 6125"),
        remedy=f"request a certificate with {wanted} in subjectAltName (now: {tls.where}), "
        "or take the name out of mail_names.",
        blocking=True,
    )


def _dates(cert: x509.Certificate, now: datetime, policy: Policy) -> Finding:
    title = "The certificate is valid now and for some time to come"
    subject = pki.name(cert.subject)
    days = pki.days_left(cert, now)
    span = f"{cert.not_valid_before_utc:%Y-%m-%d} to {cert.not_valid_after_utc:%Y-%m-%d}"
    wanted = f"at least {policy.days_left} days"
    if now > cert.not_valid_after_utc or now < cert.not_valid_before_utc:
        word = "has expired" if now > cert.not_valid_after_utc else "is not valid yet"
        return Finding(
            "certificate-dates",
            title,
            "fail",
            "critical",
            subject=subject,
            expected=wanted,
            actual=f"valid {span}",
            message=f"the certificate of {subject} {word}: every mail program will refuse it",
            remedy="renew it and give the new files; if the dates look right, look at this machine's clock.",
            blocking=True,
        )
    if days < policy.days_left:
        return Finding(
            "certificate-dates",
            title,
            "fail",
            "medium",
            subject=subject,
            expected=wanted,
            actual=f"{days} days (valid {span})",
            message=f"the certificate of {subject} expires in {days} days: then every mail program will refuse it",
            remedy="renew it now, and see why the renewal did not come by itself.",
        )
    return Finding("certificate-dates", title, "pass", "critical", subject, wanted, f"{days} days ({span})")


def _complete(given: Given, chain: pki.Chain, tls: Tls) -> Finding:
    title = "The chain is complete up to a trusted root"
    if chain.root is not None:
        way = " <- ".join(pki.name(c.subject) for c in (chain.leaf, *chain.intermediates, chain.root))
        if not given.in_order:
            way += " (the files have another order or more in them; what is installed is put in this order)"
        return Finding("chain-complete", title, "pass", "critical", expected=given.trust, actual=way, blocking=True)
    alone = pki.self_signed(chain.leaf)
    what = (
        "the certificate is self-signed and nobody trusts it" if alone else f"the issuer {chain.missing!r} is missing"
    )
    return Finding(
        "chain-complete",
        title,
        "fail",
        "critical",
        expected=f"a way up to a root of {given.trust}",
        actual="self-signed" if alone else f"ends at {chain.missing!r}",
        message=f"{what}: mail programs cannot tell the server from an impostor and will warn or refuse",
        remedy=_WHERE_CHAIN[tls.renewed_by is None] + "; for an authority of your own "
        f"name its root in tls.trust (now: {tls.trust or 'not set, so the roots of this system count'}).",
        blocking=True,
    )


def _strength(cert: x509.Certificate, policy: Policy) -> Finding:
    title = "Keys and signatures are strong enough"
    subject = pki.name(cert.subject)
    # no root is among these, whose signature of itself nobody checks
    weak, level = weakness(decode(pki.as_pem(cert).decode()), policy, signed=True)
    wanted = f"RSA from {policy.rsa_bits} bits or a curve from {policy.ec_bits}, signed with SHA-2"
    if not weak:
        return Finding("certificate-strength", title, "pass", "high", subject, wanted, "strong enough", blocking=True)
    insufficient = level == "insufficient"
    return Finding(
        "certificate-strength",
        title,
        "fail",
        "high" if insufficient else "low",
        subject=subject,
        expected=wanted,
        actual=weak,
        message=f"the certificate of {subject} has {weak}: "
        + ("today's mail programs refuse it, and it can be forged" if insufficient else "it is to be phased out"),
        remedy="request a new certificate with an RSA key of 2048 bits or more, or a P-256 key, signed with SHA-256.",
        blocking=insufficient,
    )
