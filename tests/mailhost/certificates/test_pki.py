"""The certificate kit: any order in, the right order out."""

from __future__ import annotations

from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mailhost import pki


def names(certificates: Any) -> list[str]:
    return [pki.name(c.subject) for c in certificates]


def test_the_chain_is_put_in_order_whatever_order_it_came_in(make: Any):
    root = make("Root", ca=True)
    upper = make("Upper", root, ca=True)
    lower = make("Lower", upper, ca=True)
    leaf = make("mail.example.test", lower)
    for order in permutations([root, upper, lower, leaf]):
        bag = pki.read_bag(*(made.pem for made in order))
        chain = pki.build_chain(leaf.certificate, bag, [root.certificate])
        assert chain.complete
        assert names(chain.intermediates) == ["Lower", "Upper"], "root left out"


def test_bag_bears_windows_line_ends_comments_keys_and_doubles(make: Any):
    one, two = make("One"), make("Two")
    text = b"Bag Attributes\r\n  friendlyName: one\r\n" + one.pem.replace(b"\n", b"\r\n") + one.key_pem() + two.pem
    assert names(pki.read_bag(text, one.pem)) == ["One", "Two"]


def test_a_damaged_certificate_is_told(make: Any):
    damaged = make("One").pem.replace(b"MII", b"AAA", 1)
    with pytest.raises(ValueError, match=r".+"):
        pki.read_bag(damaged)
    assert pki.read_roots(damaged) == ()


def test_a_cross_signed_intermediate_takes_the_way_to_the_trusted_root(make: Any):
    old, new = make("Old root", ca=True), make("New root", ca=True)
    key = ec.generate_private_key(ec.SECP256R1())
    by_old = make("Middle", old, ca=True, key=key)
    by_new = make("Middle", new, ca=True, key=key)
    leaf = make("mail.example.test", by_new)
    bag = [leaf.certificate, by_old.certificate, by_new.certificate]
    chain = pki.build_chain(leaf.certificate, bag, [new.certificate])
    assert chain.root == new.certificate
    assert chain.intermediates == (by_new.certificate,)


def test_a_renewed_intermediate_is_taken_before_the_expired_one_in_any_order(make: Any, now: datetime):
    root = make("Root", ca=True, days=(-1000, 1000))
    old = make("Middle", root, ca=True, days=(-500, -1))
    new = make("Middle", root, ca=True, key=old.key)
    leaf = make("mail.example.test", new)
    for order in permutations([leaf.certificate, old.certificate, new.certificate]):
        chain = pki.build_chain(leaf.certificate, order, [root.certificate], now)
        assert chain.intermediates == (new.certificate,)
    alone = pki.build_chain(leaf.certificate, [old.certificate], [root.certificate], now)
    assert alone.complete, "which has expired is another finding's business"


def test_certificates_that_sign_each_other_do_not_go_round_for_ever(make: Any):
    key = ec.generate_private_key(ec.SECP256R1())
    first = make("First", ca=True, key=key)
    second = make("Second", first, ca=True)
    again = make("First", second, ca=True, key=key)
    leaf = make("mail.example.test", second)
    chain = pki.build_chain(leaf.certificate, [second.certificate, again.certificate], [])
    assert not chain.complete


def test_a_namesake_that_did_not_sign_is_no_issuer(make: Any):
    real, namesake = make("Middle", ca=True), make("Middle", ca=True)
    leaf = make("mail.example.test", real)
    assert pki.issued(real.certificate, leaf.certificate)
    assert not pki.issued(namesake.certificate, leaf.certificate)


def test_a_leaf_cannot_sign(make: Any):
    leaf = make("leaf.example.test")
    forged = make("mail.example.test", leaf)
    assert not pki.issued(leaf.certificate, forged.certificate)


def test_a_self_signed_certificate_is_complete_only_when_trusted(make: Any):
    alone = make("mail.example.test").certificate
    assert not pki.build_chain(alone, [alone], []).complete
    trusted = pki.build_chain(alone, [alone], [alone])
    assert trusted.complete
    assert trusted.intermediates == ()


@pytest.mark.parametrize(
    ("pattern", "wanted", "holds"),
    [
        ("mail.example.test", "mail.example.test", True),
        ("MAIL.example.test", "mail.EXAMPLE.test.", True),
        ("*.example.test", "mail.example.test", True),
        ("*.example.test", "example.test", False),
        ("*.example.test", "a.mail.example.test", False),
        ("m*.example.test", "mail.example.test", False),
        ("*", "mail", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("*.0.2.1", "192.0.2.1", False),
        ("2001:db8::1", "2001:0db8:0::1", True),
    ],
)
def test_names_hold_by_rfc_6125(pattern: str, wanted: str, holds: bool):  # noqa: FBT001
    assert pki.covers([pattern], wanted) is holds


def test_names_of_a_certificate(make: Any):
    assert pki.names(make("x", names=("mail.example.test", "192.0.2.1")).certificate) == (
        "mail.example.test",
        "192.0.2.1",
    )
    assert pki.names(make("mail.example.test").certificate) == ()


def test_keys(make: Any):
    made = make("x")
    assert pki.read_key(made.key_pem())[0] == "readable"
    assert pki.read_key(made.key_pem().replace(b"\n", b"\r\n")) == ("readable", made.key_pem())
    assert pki.read_key(b"text before\n" + made.pem + made.key_pem())[1] == made.key_pem()
    assert pki.read_key(made.key_pem(b"word")) == ("encrypted", b"")
    assert pki.read_key(made.pem) == ("missing", b"")
    assert pki.read_key(made.key_pem().replace(b"MIG", b"AAA", 1)) == ("unreadable", b"")
    assert pki.key_matches(made.certificate, made.key_pem())
    assert not pki.key_matches(make("x").certificate, made.key_pem())


def test_old_form_of_an_encrypted_key_is_recognised(make: Any):
    text = make("x").key_pem().decode().replace("PRIVATE KEY", "EC PRIVATE KEY").splitlines()
    text[1:1] = ["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF", ""]
    assert pki.read_key("\n".join(text).encode())[0] == "encrypted"


@pytest.mark.parametrize(
    ("key", "weak"),
    [
        (rsa.generate_private_key(65537, 1024), "an RSA key of 1024 bits"),  # noqa: S505  # weak on purpose
        (ec.generate_private_key(ec.SECP224R1()), "an elliptic curve of 224 bits"),
        (ec.generate_private_key(ec.SECP256R1()), ""),
        (rsa.generate_private_key(65537, 2048), ""),
    ],
    ids=["rsa1024", "p224", "p256", "rsa2048"],
)
def test_weak_keys(make: Any, key: Any, weak: str):
    assert pki.weakness(make("x", key=key).certificate, rsa_bits=2048, ec_bits=256) == weak


def test_a_pair_never_shows_its_key(make: Any):
    made = make("mail.example.test")
    pair = pki.Pair(made.certificate, (), made.key_pem())
    assert "PRIVATE" not in repr(pair)
    assert pair.fullchain_pem == made.pem
    assert pair.fingerprints == (pair.fingerprint,)
