"""known_hosts is read as ssh reads it; ssh-keygen is asked for its opinion of the same files."""

from __future__ import annotations

import base64
import subprocess

import pytest

from mailhost import known_hosts
from mailhost.known_hosts import Key

A, B, C = (Key("ssh-ed25519", bytes([n]) * 51) for n in range(3))
RSA = Key("ssh-rsa", b"r" * 100)
BLOBS = {"A": A, "B": B, "C": C, "R": RSA}


def lines(text):
    """Each key is written by its letter, the last word of a line."""
    return known_hosts.read("".join(f"{_written(line)}\n" for line in text.splitlines()))


def _written(line):
    before, _, letter = line.rpartition(" ")
    return f"{before} {_text(BLOBS[letter])}" if letter in BLOBS else line


def _text(key):
    return f"{key.kind} {base64.b64encode(key.blob).decode()}"


@pytest.mark.parametrize(
    ("text", "name", "key", "state"),
    [
        ("mail A", "mail", A, "known"),
        ("MAIL A", "Mail", A, "known"),
        ("mail,192.0.2.1 A", "192.0.2.1", A, "known"),
        ("mail A", "mail.example.org", A, "unknown"),
        ("mail A", "mail", B, "changed"),
        ("mail A\nmail B", "mail", A, "known"),
        ("mail A\nmail B", "mail", B, "known"),
        ("mail A\nmail B", "mail", C, "changed"),
        ("mail R", "mail", A, "changed"),
        ("@revoked mail A", "mail", A, "revoked"),
        ("mail A\n@revoked mail A", "mail", A, "revoked"),
        ("@revoked * A\nmail A", "mail", A, "revoked"),
        ("@revoked *.org A\nmail A", "mail", A, "known"),
        ("mail A\n@revoked mail B", "mail", A, "known"),
        ("@revoked mail B", "mail", A, "unknown"),
        ("@cert-authority * A", "mail", A, "unknown"),
        ("@nonsense mail A", "mail", A, "unknown"),
        ("*.example.org A", "mail.example.org", A, "known"),
        ("mail? A", "mail2", A, "known"),
        ("mail? A", "mail", A, "unknown"),
        ("*.example.org,!mail.example.org A", "mail.example.org", A, "unknown"),
        ("!mail.example.org,*.example.org A", "www.example.org", A, "known"),
        ("!mail.example.org A", "www.example.org", A, "unknown"),
        ("[mail]:2222 A", "[mail]:2222", A, "known"),
        ("[mail]:2222 A", "mail", A, "unknown"),
        ("m[a-z]il A", "mail", A, "unknown"),
        ("mail A", "[mail]:2222", A, "known"),
        ("mail A", "[mail]:2222", B, "unknown"),
        ("mail B\n[mail]:2222 A", "[mail]:2222", A, "known"),
        ("[mail]:2222 A\nmail B", "[mail]:2222", C, "changed"),
        ("[mail]:2222 A\n@revoked mail A", "[mail]:2222", A, "revoked"),
        ("fd00::1 A", "fd00::1", A, "known"),
        ("[fd00::1]:2222 A", "[fd00::1]:2222", A, "known"),
        ("# mail A", "mail", A, "unknown"),
        ("mail ssh-ed25519 not-base64!", "mail", A, "unknown"),
        ("mail 1024 35 1234567\n\n  mail A", "mail", A, "known"),
    ],
)
def test_a_key_is_judged_by_every_line_that_speaks_of_the_server(text, name, key, state):
    assert known_hosts.judge(lines(text), name, key).state == state


def test_the_lines_that_say_so_are_named():
    changed = known_hosts.judge(lines("mail R\n# one\nmail A\n*,!x B"), "mail", C)
    assert [(line.number, line.key, line.has_pattern) for line in changed.lines] == [(3, A, False), (4, B, True)]


def test_the_kinds_that_are_known_are_those_of_plain_lines():
    known = lines("mail A\n@revoked mail R\n@cert-authority * R\n[mail]:2222 R")
    assert known_hosts.kinds(known, "mail") == {"ssh-ed25519"}
    assert known_hosts.kinds(known, "[mail]:2222") == {"ssh-ed25519", "ssh-rsa"}


@pytest.mark.parametrize("name", ["mail.example.org", "192.0.2.1", "[mail.example.org]:2222"])
def test_hashed_names_and_fingerprints_are_those_of_ssh_keygen(name, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    key = " ".join((tmp_path / "k.pub").read_text().split()[:2])
    file = tmp_path / "known_hosts"
    file.write_text(f"{name} {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert file.read_text().startswith("|1|")
    (line,) = known_hosts.read(file.read_text())
    assert line.speaks_of(name)
    assert line.speaks_of(name.upper())
    assert not line.speaks_of("another")
    shown = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "k.pub")], check=True, capture_output=True, text=True)
    assert str(line.key) == f"ssh-ed25519 {shown.stdout.split()[1]}"


@pytest.mark.parametrize(
    "names", ["mail", "*", "m?il,!mail", "!mail,m*", "*.org,ma*", "[mail]:22", "m[a]il", "MAIL", "x"]
)
def test_patterns_mean_what_they_mean_to_ssh_keygen(names, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    file = tmp_path / "known_hosts"
    file.write_text(f"{names} {(tmp_path / 'k.pub').read_text()}")
    found = subprocess.run(["ssh-keygen", "-F", "mail", "-f", str(file)], check=False, capture_output=True)
    (line,) = known_hosts.read(file.read_text())
    assert line.speaks_of("mail") == (found.returncode == 0)
