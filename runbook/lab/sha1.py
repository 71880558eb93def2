"""A certificate signed with SHA-1, for tests that want one refused."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa


def signed_again(leaf: x509.Certificate, by: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.Certificate:
    """The same certificate with a SHA-1 signature in place of its SHA-256 one.

    The library refuses to make one, and rightly so. So the algorithm is exchanged in the DER, where it stands inside
    the signed part and after it (RFC 5280, section 4.1).
    """
    part = leaf.tbs_certificate_bytes
    body = part[2 + (part[1] & 0x7F if part[1] & 0x80 else 0) :]
    if isinstance(by, rsa.RSAPrivateKey):
        old, new = (bytes.fromhex(f"300d06092a864886f70d0101{last}0500") for last in ("0b", "05"))
        part = _der(0x30, body.replace(old, new, 1))
        signature = by.sign(part, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the point of it
    else:
        old, new = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300906072a8648ce3d0401")
        part = _der(0x30, body.replace(old, new, 1))
        signature = by.sign(part, ec.ECDSA(hashes.SHA1()))  # noqa: S303 - the point of it
    whole = _der(0x30, part + new + _der(0x03, b"\0" + signature))
    return x509.load_der_x509_certificate(whole)


def _der(kind: int, content: bytes) -> bytes:
    length = len(content)
    short = length < 0x80  # noqa: PLR2004 - the longest length that fits into one byte
    size = bytes([length]) if short else bytes([0x82]) + length.to_bytes(2)
    return bytes([kind]) + size + content
