"""Certificates that no authority should have made, each with what is odd about it."""

from __future__ import annotations

import base64

# Parts of the DER of a certificate with an EC key, a SubjectKeyIdentifier and BasicConstraints, and what takes their
# place. The signature then fits no more, which nobody looks at before the rest can be read.
_PATCHES = {
    "version 5": ("a003020102", "a003020104"),
    "an extension twice": ("0603551d0e", "0603551d13"),
    "an unknown key": ("06072a8648ce3d0201", "06072a8648ce3d0209"),
    "an unknown curve": ("06082a8648ce3d030107", "06082a8648ce3d03017f"),
}
ODDITIES = tuple(_PATCHES)


def odd(pem: str, oddity: str) -> str:
    """The certificate with this oddity in it."""
    old, new = (bytes.fromhex(part) for part in _PATCHES[oddity])
    body = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
    assert old in body
    text = base64.encodebytes(body.replace(old, new, 1)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
