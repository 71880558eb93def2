"""Certificates of the lab, judged by OpenSSL."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from runbook.lab import authority
from runbook.lab.place import Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "lab")


def verify(folder, *options, untrusted="chain.pem"):
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "root.pem", *options]
    done = subprocess.run(
        [*command, "-untrusted", untrusted, "leaf.pem"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def look(folder, file="leaf.pem"):
    command = ["openssl", "x509", "-in", file, "-noout", "-text"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def written(place, tmp_path, *names, **how):
    issued = authority.issue(list(names or ("mail.example.test",)), place=place, **how)
    issued.write(tmp_path / "tls")
    return tmp_path / "tls"


def test_a_certificate_verifies_strictly_against_the_root_with_the_intermediate(place, tmp_path):
    folder = written(place, tmp_path, "mail.example.test", "10.1.2.3")
    assert verify(folder, "-verify_hostname", "mail.example.test") == "leaf.pem: OK\n"
    assert verify(folder, "-verify_ip", "10.1.2.3") == "leaf.pem: OK\n"
    assert "hostname mismatch" in verify(folder, "-verify_hostname", "other.example.test")


def test_without_the_intermediate_it_does_not_verify(place, tmp_path):
    folder = written(place, tmp_path)
    assert "unable to get local issuer certificate" in verify(folder, untrusted="leaf.pem")


def test_root_and_intermediate_have_what_strict_verifiers_ask_for(place, tmp_path):
    folder = written(place, tmp_path)
    for file in ("root.pem", "chain.pem"):
        text = look(folder, file)
        assert all(
            name in text for name in ("Key Usage: critical", "Subject Key Identifier", "Authority Key Identifier")
        )


def test_full_chain_is_leaf_then_intermediate_without_the_root(place, tmp_path):
    folder = written(place, tmp_path)
    chain = x509.load_pem_x509_certificates((folder / "fullchain.pem").read_bytes())
    assert [certificate.subject.rfc4514_string() for certificate in chain] == [
        "CN=mail.example.test",
        f"CN=Lab intermediate {place.mark}",
    ]


def test_the_key_belongs_to_the_certificate_and_is_readable_by_its_owner_only(place, tmp_path):
    folder = written(place, tmp_path)
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    public = [
        subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
        for command in (
            ["openssl", "pkey", "-in", "key.pem", "-pubout"],
            ["openssl", "x509", "-in", "leaf.pem", "-noout", "-pubkey"],
        )
    ]
    assert public[0] == public[1]


def test_an_expired_one(place, tmp_path):
    folder = written(place, tmp_path, days=1, not_before=datetime.now(UTC) - timedelta(days=30))
    assert "certificate has expired" in verify(folder)


def test_one_that_is_not_valid_yet(place, tmp_path):
    folder = written(place, tmp_path, not_before=datetime.now(UTC) + timedelta(days=2))
    assert "certificate is not yet valid" in verify(folder)


@pytest.mark.parametrize("key", ["ec256", "rsa2048"])
@pytest.mark.parametrize("self_signed", [False, True])
def test_one_signed_with_sha1_verifies_where_sha1_is_allowed(place, tmp_path, key, self_signed):
    folder = written(place, tmp_path, key=key, self_signed=self_signed, sha1=True)
    assert set(re.findall(r"(?i)Signature Algorithm: .*(sha\d+)", look(folder))) <= {"SHA1", "sha1"}
    assert verify(folder, "-auth_level", "0", untrusted="fullchain.pem") == "leaf.pem: OK\n"


@pytest.mark.parametrize(
    ("key", "bits"), [("ec256", 256), ("ec384", 384), ("rsa1024", 1024), ("rsa2048", 2048), ("rsa3072", 3072)]
)
def test_kinds_of_keys(place, tmp_path, key, bits):
    folder = written(place, tmp_path, key=key)
    assert f"Public-Key: ({bits} bit)" in look(folder)
    assert verify(folder, "-auth_level", "0") == "leaf.pem: OK\n"


def test_an_encrypted_key(place, tmp_path):
    folder = written(place, tmp_path, password="only here")
    assert (folder / "key.pem").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_the_authority_is_made_once(place, tmp_path):
    first = authority.issue(["a.example.test"], place=place)
    second = authority.issue(["b.example.test"], place=place)
    assert (first.root, first.intermediate) == (second.root, second.intermediate)
    assert authority.root_certificate(place).read_text() == first.root
