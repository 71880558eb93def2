"""Certificates, keys and chains as values: no files, no network, no server."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.utils import CryptographyDeprecationWarning

_CERTIFICATE = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?-----END (?:X509 |TRUSTED )?CERTIFICATE-----", re.DOTALL
)
_KEY = re.compile(rb"-----BEGIN (?P<kind>(?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END (?P=kind)-----", re.DOTALL)
_MAX_LINKS = 10
# What cryptography raises for a certificate that breaks the rules, or whose key is of no kind that it knows.
_ODD = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)

KeyState = Literal["readable", "encrypted", "unreadable", "missing"]


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, and the intermediates that clients need.

    chain          intermediates from the leaf's issuer upwards, the root left out
    key_pem        the private key; None when it never leaves the server
    fullchain_pem  leaf and chain as Dovecot wants them in one file
    fingerprint    SHA-256 of the leaf, as lower-case hexadecimal digits
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key_pem: bytes | None = field(default=None, repr=False)

    @property
    def fullchain_pem(self) -> bytes:
        """Leaf and intermediates, in order, without the root."""
        return b"".join(as_pem(certificate) for certificate in (self.leaf, *self.chain))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the leaf."""
        return fingerprint(self.leaf)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """SHA-256 of all that is sent, the leaf first."""
        return tuple(fingerprint(certificate) for certificate in (self.leaf, *self.chain))


@dataclass(frozen=True)
class Chain:
    """A leaf's way up.

    intermediates  from the leaf's issuer upwards, the root left out
    root           the trusted certificate that it ends in; None when it does not reach one
    missing        the issuer that was looked for in vain, as a name; empty when complete
    """

    leaf: x509.Certificate
    intermediates: tuple[x509.Certificate, ...] = ()
    root: x509.Certificate | None = None
    missing: str = ""

    @property
    def complete(self) -> bool:
        """Whether clients that trust the roots can follow it."""
        return self.root is not None


def read_bag(*texts: bytes) -> tuple[x509.Certificate, ...]:
    """Every certificate in these PEM texts, each once, in the order in which they stand.

    Line ends of Windows, comments and private keys in between are passed over. Raises ValueError for a certificate
    that cannot be read, with its place among the others.
    """
    found: dict[bytes, x509.Certificate] = {}
    for number, block in enumerate((block for text in texts for block in _CERTIFICATE.findall(text)), start=1):
        try:
            certificate = load(block)
        except ValueError as error:
            raise ValueError(f"certificate {number} there (tls.chain counts on) cannot be read: {error}") from error
        found.setdefault(certificate.fingerprint(hashes.SHA256()), certificate)
    return tuple(found.values())


def read_roots(text: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a trust store; odd ones among the world's roots are passed over: they vouch for nobody."""
    found = []
    for block in _CERTIFICATE.findall(text):
        try:
            found.append(load(block))
        except ValueError:
            continue
    return tuple(found)


def load(block: bytes) -> x509.Certificate:
    """One certificate in PEM, of which every part can be read. Raises ValueError, whatever is odd about it."""
    # OpenSSL's own TRUSTED form has data behind the certificate, which other readers refuse: it is not supported
    normal = block.replace(b"\r\n", b"\n").replace(b"X509 CERTIFICATE", b"CERTIFICATE")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # negative serial numbers of old roots
        try:
            certificate = x509.load_pem_x509_certificate(normal)
            _touch(certificate)
        except _ODD as error:
            raise ValueError(str(error) or type(error).__name__) from error
    return certificate


def _touch(certificate: x509.Certificate) -> None:
    """Read what is only decoded when it is asked for, so that it raises here and nowhere later."""
    _ = certificate.version, certificate.subject, certificate.issuer, certificate.extensions
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    certificate.public_key()


def read_key(text: bytes, bag: Sequence[x509.Certificate] = ()) -> tuple[KeyState, bytes]:
    """What kind of key this is, and its PEM block alone, in plain line ends; empty when it cannot be used.

    Where several stand there, the one that belongs to a certificate of the bag is taken, then one that can be read.
    """
    found = [_key(match[0].replace(b"\r\n", b"\n") + b"\n") for match in _KEY.finditer(text)]
    readable = [(state, pem) for state, pem in found if state == "readable"]
    fitting = [(state, pem) for state, pem in readable if any(key_matches(c, pem) for c in bag)]
    return next(iter([*fitting, *readable, *found]), ("missing", b""))


def _key(pem: bytes) -> tuple[KeyState, bytes]:
    try:
        serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        return "encrypted", b""
    except (ValueError, UnsupportedAlgorithm):
        return "unreadable", b""
    return "readable", pem


def key_matches(certificate: x509.Certificate, key_pem: bytes) -> bool:
    """Whether the private key belongs to the certificate."""
    return public_of(key_pem) == _public_bytes(certificate.public_key())


def public_of(pem: bytes) -> bytes:
    """The public key of a private one, or of a public key's own PEM, as DER. Raises ValueError."""
    try:
        if b"PUBLIC KEY" in pem:
            return _public_bytes(serialization.load_pem_public_key(pem))
        return _public_bytes(serialization.load_pem_private_key(pem, password=None).public_key())
    except UnsupportedAlgorithm as error:
        raise ValueError(f"the key is of an unknown kind: {error}") from error


def leaf_of(bag: Sequence[x509.Certificate], key_pem: bytes) -> x509.Certificate | None:
    """The certificate that the key (private, or its public part) belongs to, wherever it stands in the bag.

    A renewal that keeps its key leaves several behind: the newest is meant.
    """
    fitting = [certificate for certificate in bag if key_matches(certificate, key_pem)]
    return max(fitting, key=lambda c: c.not_valid_before_utc, default=None)


def build_chain(
    leaf: x509.Certificate,
    bag: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    now: datetime | None = None,
) -> Chain:
    """The way from the leaf to a trusted root through the certificates of the bag, in whatever order they stand.

    Where several ways exist (cross-signed or renewed intermediates), one that ends in a root is taken: the shortest of
    certificates that are all valid now, else the shortest.
    """
    moment = now or datetime.now(UTC)
    chain = _way_up(leaf, [c for c in bag if in_time(c, moment)], [r for r in roots if in_time(r, moment)])
    return chain if chain.complete else _way_up(leaf, bag, roots)


def in_time(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether it is valid at that moment: begun, and not expired."""
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _way_up(leaf: x509.Certificate, bag: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> Chain:
    ways: list[tuple[x509.Certificate, ...]] = [(leaf,)]
    longest = ways[0]
    while ways:
        way = ways.pop(0)
        last = way[-1]
        root = next((r for r in roots if r == last or issued(r, last)), None)
        if root is not None:
            # a root is left out: clients have it, and take no other's word for it
            middle = way[1:-1] if root == last and len(way) > 1 else way[1:]
            return Chain(leaf, middle, root)
        if len(way) > len(longest):
            longest = way
        if len(way) < _MAX_LINKS:
            ways += [(*way, other) for other in bag if other not in way and issued(other, last)]
    middle = tuple(c for c in longest[1:] if not self_signed(c))
    return Chain(leaf, middle, None, name(longest[-1].issuer))


def issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether one certificate signed the other: names, signature, and the right to sign."""
    if certificate.issuer != issuer.subject or not may_sign(issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def may_sign(certificate: x509.Certificate) -> bool:
    """Whether it is an authority's; a version 1 root has no such mark and is trusted by being a root."""
    if certificate.version is x509.Version.v1:
        return True
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def self_signed(certificate: x509.Certificate) -> bool:
    """Whether its issuer is itself."""
    return certificate.issuer == certificate.subject


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names that clients compare: DNS names and addresses of subjectAltName; the common name counts no more."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def covers(patterns: Iterable[str], wanted: str) -> bool:
    """Whether one of the names is the wanted one; ``*`` stands for exactly one label, the first (RFC 6125)."""
    try:
        address = str(ipaddress.ip_address(wanted))
    except ValueError:
        return any(_covers(pattern.rstrip(".").lower(), wanted.rstrip(".").lower()) for pattern in patterns)
    return address in patterns


def _covers(pattern: str, wanted: str) -> bool:
    if not pattern.startswith("*."):
        return pattern == wanted
    first, _, rest = wanted.partition(".")
    return bool(first) and rest == pattern.removeprefix("*.")


def days_left(certificate: x509.Certificate, now: datetime) -> int:
    """Whole days until it expires; negative when it has."""
    return (certificate.not_valid_after_utc - now).days


def weakness(certificate: x509.Certificate, *, rsa_bits: int, ec_bits: int) -> str:
    """What is too weak about a certificate's key or signature; empty when nothing is."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < rsa_bits:
        return f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < ec_bits:
        return f"an elliptic curve of {key.curve.key_size} bits"
    if isinstance(key, dsa.DSAPublicKey):
        return "a DSA key"
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return f"a signature of an unknown kind ({certificate.signature_algorithm_oid.dotted_string})"
    if isinstance(algorithm, hashes.SHA1 | hashes.MD5):
        return f"a signature with {algorithm.name.upper().replace('SHA1', 'SHA-1')}"
    return ""


def name(subject: x509.Name) -> str:
    """A subject or issuer as people write it: its common name, else the whole."""
    common = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else subject.rfc4514_string()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, as lower-case hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def sha256(content: bytes) -> str:
    """SHA-256 of a file's content, as sha256sum prints it."""
    return hashlib.sha256(content).hexdigest()


def as_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _public_bytes(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
