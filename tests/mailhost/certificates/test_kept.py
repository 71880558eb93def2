"""What an ACME client keeps on the server, read there by a real shell and judged like files of our own."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from mailhost import given, sheet
from mailhost.checks import certificate as checks
from mailhost.facts import kept_certificate
from mailhost.finding import Finding
from mailhost.host import Result


def want(files: Any, folder: Path) -> sheet.Sheet:
    plain = files.sheet()
    tls = {
        "renewed_by": "certbot",
        "certificate_path": f"{folder}/fullchain.pem",
        "key_path": f"{folder}/privkey.pem",
        "trust": plain.tls.trust,
    }
    values = {"name": plain.name, "mail_names": plain.mail_names, "tls": tls}
    return sheet.from_mapping(values, base=folder, source="test")


def read(wanted: sheet.Sheet) -> given.Given:
    results = {}
    for n, (name, command) in enumerate(kept_certificate.query.commands(wanted, None).items(), 1):
        done = subprocess.run(command.argv, capture_output=True, text=True, check=False)
        results[name] = Result(command, done.returncode, done.stdout, done.stderr, n)
        assert "PRIVATE KEY" not in done.stdout
    found = kept_certificate.query.read(results)
    assert wanted.tls is not None
    return given.kept(wanted.tls, found.pem, found.public_key, found.key_state, found.problem)


def bad(found: given.Given, wanted: sheet.Sheet, now: datetime) -> dict[str, Finding]:
    return {f.id: f for f in checks.certificate(found, wanted, now) if f.status != "pass"}


def keep(folder: Path, certificate: bytes, key: bytes) -> Path:
    place = folder / "live" / "mail"
    place.mkdir(parents=True, exist_ok=True)
    (place / "fullchain.pem").write_bytes(certificate)
    (place / "privkey.pem").write_bytes(key)
    return place


def test_a_good_pair_passes_and_its_key_stays_there(files: Any, now: datetime, tmp_path: Path):
    # one file with everything in it, the key too, as some keep it
    both = files.leaf.key_pem() + files.leaf.pem + files.middle.pem
    wanted = want(files, keep(tmp_path, both, both))
    found = read(wanted)
    assert bad(found, wanted, now) == {}
    assert found.pair is not None
    assert found.pair.key_pem is None
    assert found.pair.chain == (files.middle.certificate,)


def test_a_key_of_another_certificate(files: Any, make: Any, now: datetime, tmp_path: Path):
    wanted = want(files, keep(tmp_path, files.leaf.pem + files.middle.pem, make("other").key_pem()))
    finding = bad(read(wanted), wanted, now)["key-matches"]
    assert finding.blocking
    assert f"{tmp_path}/live/mail/fullchain.pem on the server" in finding.message


def test_an_encrypted_key(files: Any, now: datetime, tmp_path: Path):
    wanted = want(files, keep(tmp_path, files.leaf.pem + files.middle.pem, files.leaf.key_pem(b"word")))
    assert bad(read(wanted), wanted, now)["key-readable"].actual == "encrypted"


def test_a_damaged_key(files: Any, now: datetime, tmp_path: Path):
    wanted = want(files, keep(tmp_path, files.leaf.pem + files.middle.pem, files.leaf.key_pem()[:90]))
    assert "openssl cannot read it" in bad(read(wanted), wanted, now)["key-readable"].message


def test_the_leaf_alone_instead_of_the_full_chain(files: Any, now: datetime, tmp_path: Path):
    wanted = want(files, keep(tmp_path, files.leaf.pem, files.leaf.key_pem()))
    finding = bad(read(wanted), wanted, now)["chain-complete"]
    assert finding.blocking
    assert "fullchain.pem" in finding.remedy


def test_nothing_was_issued_yet(files: Any, now: datetime, tmp_path: Path):
    wanted = want(files, tmp_path / "live" / "mail")
    finding = bad(read(wanted), wanted, now)["certificate-given"]
    assert finding.blocking
    assert "on the server holds no readable certificate" in finding.message
