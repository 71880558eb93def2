"""The certificate, key and chain that the sheet names: on the machine that runs the runbook, or kept on the server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from mailhost import pki
from mailhost.errors import SheetError
from mailhost.sheet import Tls, secret

# Where distributions keep the trusted roots in one file; OpenSSL's own idea of it is asked first.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True)
class Given:
    """What the sheet's files hold.

    bag         every certificate, in the order in which the files have them
    key_state   ``readable``, ``encrypted``, ``unreadable`` or ``missing``
    leaf        the certificate that the key belongs to; without such a key the first that is no authority's
    chain       the way from the leaf to a trusted root, as far as it goes
    pair        what can be installed; None when the key is unusable or belongs to none of the certificates
    trust       whose word counts: the sheet's trust file, or this system's roots
    problem     why certificates or key could not be read
    """

    bag: tuple[x509.Certificate, ...] = ()
    key_state: pki.KeyState = "missing"
    leaf: x509.Certificate | None = None
    chain: pki.Chain | None = None
    pair: pki.Pair | None = None
    trust: str = ""
    problem: str = ""

    @property
    def in_order(self) -> bool:
        """Whether the files hold just the leaf and its intermediates, in the order in which they are sent."""
        return self.chain is None or self.bag == (self.chain.leaf, *self.chain.intermediates)


def read(tls: Tls | None) -> Given | None:
    """What the sheet's files hold; None when the sheet names no certificate. The key is registered as a secret."""
    if tls is None or tls.certificate is None or tls.key is None:
        return None
    trust, roots = _roots(tls)
    try:
        bag = pki.read_bag(*(Path(path).read_bytes() for path in (tls.certificate, tls.chain) if path))
    except (OSError, ValueError) as error:
        return Given(trust=trust, problem=f"{tls.certificate}: {error}")
    try:
        state, key = pki.read_key(secret(tls.key, what="private key").encode(), bag)
        problem = ""
    except SheetError as error:
        state, key, problem = "missing", b"", error.what
    leaf = pki.leaf_of(bag, key) if state == "readable" else None
    shown, chain = _way_up(leaf, bag, roots)
    pair = pki.Pair(leaf, chain.intermediates, key) if leaf and chain else None
    return Given(bag, state, shown, chain, pair, trust, problem)


def kept(tls: Tls, pem: str, public_key: str, key_state: pki.KeyState, problem: str = "") -> Given:
    """What the files hold that an ACME client keeps on the server; of the key only the public part was read."""
    trust, roots = _roots(tls)
    try:
        bag = pki.read_bag(pem.encode())
        leaf = pki.leaf_of(bag, public_key.encode()) if key_state == "readable" else None
    except ValueError as error:
        return Given(trust=trust, problem=f"{tls.where}: {error}")
    shown, chain = _way_up(leaf, bag, roots)
    pair = pki.Pair(leaf, chain.intermediates) if leaf and chain else None
    return Given(bag, key_state, shown, chain, pair, trust, problem)


def _way_up(
    leaf: x509.Certificate | None, bag: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate | None, pki.Chain | None]:
    """The certificate that is spoken of, the leaf where there is one, and its way to a root."""
    shown = leaf or next((c for c in bag if not pki.may_sign(c)), next(iter(bag), None))
    return shown, pki.build_chain(shown, bag, roots) if shown else None


def _roots(tls: Tls) -> tuple[str, tuple[x509.Certificate, ...]]:
    paths = [tls.trust] if tls.trust else [ssl.get_default_verify_paths().cafile, *_BUNDLES]
    for path in paths:
        if path and Path(path).is_file():
            return path, pki.read_roots(Path(path).read_bytes())
    return "this system's roots (none were found)", ()
