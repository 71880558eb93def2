"""The policy that ships is the one that is used without a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailhost import policy
from mailhost.errors import SheetError

SHIPPED = Path(__file__).resolve().parents[2] / "parameters" / "tls_policy.yaml"


def test_the_file_and_the_defaults_are_one():
    assert policy.load(SHIPPED) == policy.DEFAULT


def test_an_unknown_key_is_refused(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_text("rsa_bit: 1\n")
    with pytest.raises(SheetError, match="rsa_bit"):
        policy.load(path)
