"""The lab's own certificate authority: a root, an intermediate below it, and certificates for mail names.

Good ones by default. Tests ask for bad ones: expired, for another name, weak, signed with SHA-1, by the root alone.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runbook.lab.errors import LabError
from runbook.lab.place import Place, here
from runbook.lab.sha1 import signed_again

KeyKind = Literal["ec256", "ec384", "rsa1024", "rsa2048", "rsa3072", "rsa4096"]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_YEARS = timedelta(days=3650)


@dataclass(frozen=True)
class Issued:
    """A certificate with everything that belongs to it, all as PEM text."""

    leaf: str
    key: str
    intermediate: str
    root: str

    @property
    def fullchain(self) -> str:
        """What a server should send: the leaf and the intermediate, without the root."""
        return self.leaf + self.intermediate

    def write(self, folder: Path) -> None:
        """Write ``leaf.pem``, ``key.pem`` (0600), ``chain.pem``, ``fullchain.pem`` and ``root.pem`` into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("leaf.pem", self.leaf),
            ("chain.pem", self.intermediate),
            ("fullchain.pem", self.fullchain),
            ("root.pem", self.root),
        ):
            (folder / name).write_text(text)
        _write_secret(folder / "key.pem", self.key)


def issue(
    names: list[str],
    *,
    days: float = 90,
    not_before: datetime | None = None,
    key: KeyKind = "ec256",
    sha1: bool = False,
    common_name: str | None = None,
    self_signed: bool = False,
    password: str | None = None,
    place: Place | None = None,
) -> Issued:
    """A certificate for ``names`` (DNS names or addresses) from the lab's intermediate.

    ``days`` count from ``not_before``, by default an hour ago; the lab's own authority is made where it is missing.
    ``self_signed`` leaves the authority out, ``sha1`` signs the leaf with SHA-1, ``password`` encrypts the key.
    """
    root, above = _authority(place or here())
    begin = not_before or datetime.now(UTC) - timedelta(hours=1)
    own = _new_key(key)
    subject = _name(common_name if common_name is not None else names[0])
    by = _Signer(subject, own) if self_signed else above
    leaf = (
        _draft(subject, own, by, begin, begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(key_encipherment=isinstance(own, rsa.RSAPrivateKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(by.key, hashes.SHA256())
    )
    text = _pem(signed_again(leaf, by.key) if sha1 else leaf)
    return Issued(
        leaf=text, key=_key_pem(own, password), intermediate=by.certificate, root=root if by is above else text
    )


def root_certificate(place: Place | None = None) -> Path:
    """The file with the root certificate of the lab's authority, made where it is missing."""
    chosen = place or here()
    _authority(chosen)
    return chosen.authority / "root.pem"


@dataclass(frozen=True)
class _Signer:
    """Who signs: its name, its key, and its certificate where the client needs it to build the chain."""

    name: x509.Name
    key: Key
    certificate: str = ""


def _authority(place: Place) -> tuple[str, _Signer]:
    folder = place.authority
    with place.lock():
        if not (folder / "intermediate.key").exists():
            _found(folder, place.mark)
    text = (folder / "intermediate.pem").read_text()
    key = serialization.load_pem_private_key((folder / "intermediate.key").read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise LabError(f"{folder}/intermediate.key is not a key of ours: remove that folder and try again.")
    signer = _Signer(x509.load_pem_x509_certificate(text.encode()).subject, key, text)
    return (folder / "root.pem").read_text(), signer


def _found(folder: Path, mark: str) -> None:
    """Make a root and an intermediate. Strict verifiers refuse one without key usage and key identifiers."""
    folder.mkdir(parents=True, exist_ok=True)
    begin = datetime.now(UTC) - timedelta(days=365)  # tests issue certificates whose time is long over
    root = _Signer(_name(f"Lab root {mark}"), _new_key("ec256"))
    below = _Signer(_name(f"Lab intermediate {mark}"), _new_key("ec256"))
    for file, who, depth in (("root", root, 1), ("intermediate", below, 0)):
        certificate = (
            _draft(who.name, who.key, root, begin, begin + _YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .sign(root.key, hashes.SHA256())
        )
        (folder / f"{file}.pem").write_text(_pem(certificate))
        # The intermediate's key comes last: its presence says that all is there.
        _write_secret(folder / f"{file}.key", _key_pem(who.key, None))


def _draft(subject: x509.Name, key: Key, by: _Signer, begin: datetime, end: datetime) -> x509.CertificateBuilder:
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(above, critical=False)
    )


def _new_key(kind: KeyKind) -> Key:
    if kind.startswith("ec"):
        return ec.generate_private_key(ec.SECP384R1() if kind == "ec384" else ec.SECP256R1())
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))


def _usage(*, key_encipherment: bool = False, sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=key_encipherment,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: Key, password: str | None) -> str:
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
