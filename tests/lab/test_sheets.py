"""Sheets that the lab writes are sheets that the runbook takes."""

from __future__ import annotations

import subprocess

from mailhost import sheet as sheet_module
from runbook.lab import authority, sheets
from runbook.lab.place import Place


def test_a_lab_sheet_is_valid(tmp_path):
    place = Place(tmp_path / "lab")
    folder = place.servers / "one"
    authority.issue(["one.example.test"], place=place).write(folder / "tls")
    sheets.make_login_key(folder / "id_ed25519")
    (folder / "known_hosts").touch()
    sheets.write(folder / "sheet.yaml", sheets.sheet("one", folder, "10.89.70.10", "10.89.70.2"))
    loaded = sheet_module.load(folder / "sheet.yaml", base=tmp_path)
    assert loaded.name == "one"
    assert loaded.mail_names == ["one.example.test"]
    assert loaded.ssh_host == "10.89.70.10"
    assert loaded.tls is not None
    assert set(loaded.firewall.wanted().values()) == {"open"}


def test_overrides_reach_into_nested_keys_and_leave_the_rest():
    base = {"firewall": {"pop3": "open", "imap": "open"}, "maildir": "~/Maildir"}
    assert sheets.merged(base, {"firewall": {"imap": "closed"}, "protocols": ["imap"]}) == {
        "firewall": {"pop3": "open", "imap": "closed"},
        "maildir": "~/Maildir",
        "protocols": ["imap"],
    }


def test_a_list_or_a_none_replaces():
    assert sheets.merged({"a": {"b": 1}, "c": [1]}, {"a": None, "c": [2]}) == {"a": None, "c": [2]}


def test_the_login_key_is_one_that_openssh_takes(tmp_path):
    line = sheets.make_login_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert shown.stdout.split()[:2] == line.split()[:2]
