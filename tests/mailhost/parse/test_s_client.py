from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailhost.parse.s_client import Said, parse, without_secrets
from mailhost.probes.certificate import decode

SAMPLES = Path(__file__).parents[2] / "samples" / "s_client"
CASES = sorted(SAMPLES.glob("*/*.txt"))


def _said(path: Path) -> Said:
    out, _, err = path.read_text().partition("===== standard error =====\n")
    return parse(out, err)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_sample(path: Path) -> None:
    said = _said(path)
    rows = asdict(said) | {"chain": len(said.chain), "shook_hands": said.shook_hands}
    assert json.loads(json.dumps(rows)) == json.loads(path.with_suffix(".rows.json").read_text())


def test_there_are_samples_of_three_releases() -> None:
    assert {path.parent.name for path in CASES} == {"openssl-1.1.1w", "openssl-3.0.22", "openssl-3.5.9"}


@pytest.mark.parametrize("path", [p for p in CASES if p.stem == "good"], ids=lambda path: path.parent.name)
def test_chain_decodes_leaf_first(path: Path) -> None:
    leaf, intermediate = (decode(pem) for pem in _said(path).chain)
    assert leaf.names == ("mail.example.test",)
    assert leaf.key == "EC secp256r1"
    assert leaf.signature == "sha256"
    assert leaf.issuer == intermediate.subject
    assert not leaf.self_issued


@pytest.mark.parametrize("path", [p for p in CASES if p.stem.startswith(("wrong-key", "ssl-off"))], ids=str)
def test_the_ok_of_a_verification_without_certificate_is_not_believed(path: Path) -> None:
    said = _said(path)
    assert said.verify_code == 0
    assert not said.shook_hands


def test_session_keys_are_masked() -> None:
    assert without_secrets("    Master-Key: 0A1B\n    Cipher    : X\n") == "    Master-Key: ***\n    Cipher    : X\n"
    assert without_secrets("    Resumption PSK: 0A1B\n") == "    Resumption PSK: ***\n"


@settings(max_examples=50)
@given(st.text(), st.text())
def test_garbage_is_no_handshake(out: str, err: str) -> None:
    assert not parse(out, err).shook_hands
