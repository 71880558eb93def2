"""Certificates for tests, made in memory."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mailhost import sheet

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Made:
    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: bytes | None = None) -> bytes:
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


Make = Callable[..., Made]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make() -> Make:
    return _make


def _make(
    name: str,
    issuer: Made | None = None,
    *,
    ca: bool = False,
    names: tuple[str, ...] = (),
    key: Key | None = None,
    days: tuple[int, int] = (-10, 80),
    key_id: bool = False,
) -> Made:
    """A certificate of ``name``, self-signed without an issuer; ``days`` from and until, counted from now."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(n) for n in names]), critical=False)
    if key_id:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    return Made(builder.sign(issuer.key if issuer else own, hashes.SHA256()), own)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@dataclass
class Files:
    """The files that a sheet names; a test breaks one of them and makes the sheet then."""

    folder: Path
    root: Made
    middle: Made
    leaf: Made

    def write(self, **contents: bytes) -> None:
        for name, content in contents.items():
            (self.folder / f"{name}.pem").write_bytes(content)

    def sheet(self, **changes: Any) -> sheet.Sheet:
        tls = {name: f"{name}.pem" for name in ("certificate", "chain", "trust")} | {"key": "file:key.pem"}
        tls |= changes.pop("tls", {})
        values = {"name": "mail", "mail_names": ["mail.example.test"], "tls": tls} | changes
        return sheet.from_mapping(values, base=self.folder, source="test")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    root = _make("Root", ca=True, days=(-1000, 1000))
    middle = _make("Intermediate", root, ca=True, days=(-500, 500))
    leaf = _make("mail.example.test", middle, names=("mail.example.test",))
    made = Files(tmp_path, root, middle, leaf)
    made.write(certificate=leaf.pem, chain=middle.pem, trust=root.pem, key=leaf.key_pem())
    return made
