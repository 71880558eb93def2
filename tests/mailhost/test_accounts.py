"""Temporary accounts as values; what they do on a server is tested there."""

from __future__ import annotations

import re

from mailhost import accounts
from mailhost.redact import redact


def test_names_and_passwords_are_new_each_time_and_masked_in_all_that_is_stored():
    one, two = accounts.temporary("run"), accounts.temporary("run")
    assert re.fullmatch(r"rbk-[0-9a-f]{8}", one.name)
    assert (one.name, one.password) != (two.name, two.password)
    assert len(one.password) >= 24
    assert one.password not in repr(one)
    assert one.password not in redact(f"LOGIN {one.name} {one.password}")


def test_the_way_out_is_planted_before_the_account_is_made():
    account = accounts.temporary("2026-11-23\n%n[Service]")
    plant, create = accounts.create(account, minutes=7)
    assert "OnActiveSec=%smin" in str(plant)
    assert "useradd" in str(create)
    assert account.password not in str(plant) + str(create) + repr(plant) + repr(create)
    assert "%n[" not in plant.argv[-1], "systemd would give it a meaning"
    assert account.password not in (plant.stdin or b"").decode()
    assert create.stdin == f"{account.name}:{account.password}\n".encode()
