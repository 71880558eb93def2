"""The certificate that an ACME client keeps on the server, and the public part of its key; the key never leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.pki import KeyState
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet


@dataclass(frozen=True)
class KeptCertificate(Fact):
    """What the two files hold.

    pem         the certificates of the one
    public_key  the public part of the other, as PEM; empty where it cannot be told
    problem     why not
    """

    pem: str = ""
    public_key: str = ""
    key_state: KeyState = "missing"
    problem: str = ""


# A file may hold the key as well: nothing but certificates is let through, and no endless file.
_CERTIFICATES = "/^-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/,/^-----END [A-Z0-9 ]*CERTIFICATE-----/p"
_PUBLIC = """\
[ -e "$1" ] || { echo missing; exit 0; }
command -v openssl >/dev/null || { echo "unreadable: there is no openssl on the server to read it with"; exit 0; }
if grep -q -e ENCRYPTED "$1"; then echo encrypted; exit 0; fi
if public=$(openssl pkey -in "$1" -passin pass: -pubout 2>/dev/null); then echo readable; echo "$public"
else echo "unreadable: openssl cannot read it"; fi
"""


def _commands(sheet: Sheet, _family: Family | None) -> Mapping[str, Command]:
    tls = sheet.tls
    if tls is None or tls.renewed_by is None or tls.certificate_path is None or tls.key_path is None:
        return {}
    certificate = sh('[ -e "$1" ] || exit 0; head -c 1000000 "$1" | sed -n "$2"', tls.certificate_path, _CERTIFICATES)
    return {"certificate": certificate, "key": sh(_PUBLIC, tls.key_path)}


def read(results: Mapping[str, Result]) -> KeptCertificate:
    """Both files. Raises CommandError when one is there and cannot be read."""
    if not results:
        return KeptCertificate()
    told, _, public = results["key"].checked().stdout.partition("\n")
    state, _, why = told.partition(": ")
    states: tuple[KeyState, ...] = ("readable", "encrypted", "unreadable", "missing")
    known = next((word for word in states if word == state), None)
    if known is None:
        raise results["key"].error()
    pem = results["certificate"].checked().stdout
    path = results["key"].command.argv[4]
    return KeptCertificate(pem, public, known, f"{path}: {why}" if why else "")


query = Query("kept_certificate", "Certificate that an ACME client keeps on the server", _commands, read)
