"""A certificate as it was seen, decoded for people and for checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mailhost import pki


@dataclass(frozen=True)
class Certificate:
    """One certificate.

    names      subject alternative names, DNS names and addresses
    key        as in ``RSA 2048`` or ``EC secp256r1``; key_bits is its size
    signature  the hash it was signed with, in lower case; empty for schemes that name none, and the scheme's
               number (OID) for one that is not known
    sha256     its fingerprint, lower-case hex without colons
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key: str
    key_bits: int
    signature: str
    sha256: str
    pem: str = field(repr=False, default="")

    @property
    def self_issued(self) -> bool:
        """Whether it names itself as its issuer, as a root does."""
        return self.subject == self.issuer

    def days_left(self, now: datetime) -> int:
        """Whole days until it ends; negative when it has ended."""
        return (self.not_after - now).days


def decode(pem: str) -> Certificate:
    """Decode one certificate. Raises ValueError when it is none, or one that nobody can read."""
    certificate = pki.load(pem.encode())
    key, bits = _key(certificate)
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc.astimezone(UTC),
        not_after=certificate.not_valid_after_utc.astimezone(UTC),
        key=key,
        key_bits=bits,
        signature=_signature(certificate),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        pem=pem,
    )


def fingerprints(pem: bytes) -> tuple[str, ...]:
    """The SHA-256 fingerprints of the certificates in a PEM file, in their order. Raises ValueError."""
    return tuple(c.fingerprint(hashes.SHA256()).hex() for c in x509.load_pem_x509_certificates(pem))


def _signature(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return certificate.signature_algorithm_oid.dotted_string
    return algorithm.name.lower() if algorithm else ""


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _key(certificate: x509.Certificate) -> tuple[str, int]:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}", key.key_size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519", 256
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448", 456
    return type(key).__name__, 0
