"""Whatever an authority sends along, in whatever order and form: the same leaf, chain and key come out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from mailhost import pki

Key = ec.EllipticCurvePrivateKey
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(frozen=True)
class Signed:
    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return pki.as_pem(self.certificate)

    def key_pem(self, word: bytes | None = None) -> bytes:
        how = serialization.BestAvailableEncryption(word) if word else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, how)


def signed(name: str, by: Signed | None = None, *, ca: bool = True, key: Key | None = None, age: int = 10) -> Signed:
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return Signed(
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=age))
        .not_valid_after(NOW + timedelta(days=80))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign((by or Signed(None, own)).key, hashes.SHA256()),  # type: ignore[arg-type]  # a root signs itself
        own,
    )


ROOT = signed("Root")
OTHER_ROOT = signed("Another root")
UPPER = signed("Upper", ROOT)
LOWER = signed("Lower", UPPER)
CROSS = signed("Upper", OTHER_ROOT, key=UPPER.key)  # the same authority, signed by a root that nobody trusts here
LEAF = signed("mail.example.test", LOWER, ca=False)
OLDER = signed("mail.example.test", LOWER, ca=False, key=LEAF.key, age=100)  # before a renewal that kept its key
STRANGER = signed("stranger.example.test", OTHER_ROOT, ca=False)
ORPHAN = Signed(STRANGER.certificate, ec.generate_private_key(ec.SECP256R1()))  # a key whose certificate is elsewhere

NEEDED = (LEAF.pem, LOWER.pem, UPPER.pem)
MAYBE = (ROOT.pem, OTHER_ROOT.pem, CROSS.pem, STRANGER.pem, OLDER.pem, LEAF.pem, LOWER.pem)
KEY_FORMS = (
    LEAF.key_pem(),
    LEAF.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + LEAF.key_pem(),
)
NOISE = (
    b"",
    b"\n\n",
    b"# from the authority\n",
    b"Bag Attributes\n    friendlyName: m\xc3\xa4il\nKey Attributes: <No Attributes>\n",
    b"subject=CN = mail.example.test\nissuer=CN = Lower\n",
    b"\xef\xbb\xbf",  # what Windows editors put in front
)


@st.composite
def bags(draw: st.DrawFn) -> bytes:
    """All that is needed and some that is not, in any order, each in its own line ends and with noise between."""
    pieces = [*NEEDED, *draw(st.lists(st.sampled_from(MAYBE), max_size=5)), draw(st.sampled_from(KEY_FORMS))]
    pieces += draw(st.lists(st.sampled_from((ORPHAN.key_pem(), LEAF.key_pem(b"a-word"))), max_size=2))
    text = b""
    for piece in draw(st.permutations(pieces)):
        whole = draw(st.sampled_from(NOISE)) + piece
        text += whole.replace(b"\n", b"\r\n") if draw(st.booleans()) else whole
        if draw(st.booleans()):
            text = text.removesuffix(b"\n").removesuffix(b"\r")  # files put behind each other without a line end
    return text


@settings(max_examples=150, deadline=None)
@given(bags())
def test_any_bag_comes_out_as_leaf_and_intermediates_in_order(text: bytes):
    bag = pki.read_bag(text)
    state, key = pki.read_key(text, bag)
    leaf = pki.leaf_of(bag, key)
    assert (state, leaf) == ("readable", LEAF.certificate)
    assert b"\r" not in key
    chain = pki.build_chain(LEAF.certificate, bag, [ROOT.certificate])
    pair = pki.Pair(LEAF.certificate, chain.intermediates, key)
    assert chain.root == ROOT.certificate
    assert pair.fullchain_pem == LEAF.pem + LOWER.pem + UPPER.pem


@settings(max_examples=60, deadline=None)
@given(bags(), st.sampled_from((LOWER, UPPER)))
def test_a_bag_without_one_of_its_intermediates_is_incomplete_and_says_which(text: bytes, gone: Signed):
    bag = [c for c in pki.read_bag(text) if c.subject != gone.certificate.subject]
    chain = pki.build_chain(LEAF.certificate, bag, [ROOT.certificate])
    assert (chain.root, chain.missing) == (None, pki.name(gone.certificate.subject))


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (b"", "missing"),
        (LEAF.pem, "missing"),
        (LEAF.key_pem(b"a-word"), "encrypted"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "unreadable"),
        (LEAF.key_pem(b"a-word") + ORPHAN.key_pem(), "readable"),
    ],
)
def test_keys_that_cannot_be_used_are_told_apart(text: bytes, state: str):
    assert pki.read_key(text, [LEAF.certificate])[0] == state


def test_a_key_that_stands_with_the_certificates_is_found_there():
    text = ORPHAN.key_pem() + LEAF.pem + LEAF.key_pem() + LOWER.pem
    assert pki.read_key(text, pki.read_bag(text)) == ("readable", LEAF.key_pem())
