from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: Key) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _sign(
    subject: str, key: Key, issuer: str, by: Key, *, end: datetime, ca: bool, names: tuple[str, ...] = ()
) -> x509.Certificate:
    draft = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=400))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if names:
        draft = draft.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return draft.sign(by, hashes.SHA256())


@dataclass(frozen=True)
class Issued:
    leaf: str
    key: str

    intermediate: str
    root: str

    @property
    def fullchain(self) -> str:
        return self.leaf + self.intermediate


class Authority:
    """A root, an intermediate below it, and leaves for tests."""

    def __init__(self) -> None:
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.signer = ec.generate_private_key(ec.SECP256R1())
        far = datetime.now(UTC) + timedelta(days=3650)
        self.root = _pem(_sign("Test root", self.root_key, "Test root", self.root_key, end=far, ca=True))
        self.intermediate = _pem(_sign("Test intermediate", self.signer, "Test root", self.root_key, end=far, ca=True))

    def issue(self, *names: str, days: float = 90, self_signed: bool = False) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        end = datetime.now(UTC) + timedelta(days=days)
        by, issuer = (key, names[0]) if self_signed else (self.signer, "Test intermediate")
        leaf = _sign(names[0], key, issuer, by, end=end, ca=False, names=names)
        return Issued(_pem(leaf), _key_pem(key), "" if self_signed else self.intermediate, self.root)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()
