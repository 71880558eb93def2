"""Temporary accounts as values; what they do on a server is tested there."""

from __future__ import annotations

import re

from mailhost import accounts
from mailhost.parse import log
from mailhost.redact import redact


def test_names_and_passwords_are_new_each_time_and_masked_in_all_that_is_stored():
    one, two = accounts.temporary("run"), accounts.temporary("run")
    assert re.fullmatch(r"rbk-[0-9a-f]{8}", one.name)
    assert (one.name, one.password) != (two.name, two.password)
    assert len(one.password) >= 24
    assert one.password not in repr(one)
    assert one.password not in redact(f"LOGIN {one.name} {one.password}")


def test_an_expired_account_is_made_so_and_bears_it_in_its_name():
    account = accounts.temporary("run", expired=True)
    assert re.fullmatch(r"rbk-expired-[0-9a-f]{8}", account.name)
    assert len(account.name) <= 32
    _, create = accounts.create(account)
    assert "1970-01-02" in create.argv
    assert "1970-01-02" not in accounts.create(accounts.temporary("run"))[1].argv


def test_what_dovecot_logs_of_an_expired_account_of_ours_is_harmless_and_of_others_is_not():
    ours = "2026-11-25T01:15:08+0000 m dovecot[1]: auth-worker(2): Error: auth-worker<1>: pam(%s,192.0.2.1,<x>): "
    newer = "2026-11-25T01:16:49+0000 m dovecot[1]: auth-worker(%s,192.0.2.1)<3><x>: request [22]: Error: pam: "
    for line in (ours, newer):
        text = "\n".join(
            f"{line % name}pam_acct_mgmt() failed: Authentication failure"
            for name in (accounts.temporary("run", expired=True).name, accounts.temporary("run").name, "anna")
        )
        assert [bool(row["known"]) for row in log.journal(text)] == [True, False, False]


def test_the_way_out_is_planted_before_the_account_is_made():
    account = accounts.temporary("2026-11-23\n%n[Service]")
    plant, create = accounts.create(account, minutes=7)
    assert "OnActiveSec=%smin" in str(plant)
    assert "useradd" in str(create)
    assert account.password not in str(plant) + str(create) + repr(plant) + repr(create)
    assert "%n[" not in plant.argv[-1], "systemd would give it a meaning"
    assert account.password not in (plant.stdin or b"").decode()
    assert create.stdin == f"{account.name}:{account.password}\n".encode()
