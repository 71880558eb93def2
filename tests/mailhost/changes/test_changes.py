"""Changes as values: diffs, guards first, the way back in the right order, and no secret in sight."""

from __future__ import annotations

import pytest

from mailhost import changes
from mailhost.changes import (
    ABSENT,
    EnableUnit,
    FileState,
    Firewalld,
    IncludeLast,
    InstallPackages,
    ReloadUnit,
    RestartUnit,
    Rule,
    StartUnit,
    Ufw,
    UnmaskUnit,
    WriteDropIn,
    WriteFile,
)
from mailhost.families import DEBIAN, REDHAT

KEY = b"-----BEGIN PRIVATE KEY-----\nnot one\n-----END PRIVATE KEY-----\n"
RULES = (Rule(False, "public", "add", "service", "imaps"), Rule(True, "public", "remove", "port", "143/tcp"))
EVERY = [
    WriteFile("/etc/x", ABSENT, b"x\n"),
    WriteDropIn("/etc/dovecot/conf.d/99-dovecot-runbook.conf", ABSENT, b"ssl = no\n"),
    IncludeLast("/etc/dovecot/dovecot.conf", "0" * 64, "!include_try x\n", "it sets ssl", "/etc/dovecot/conf.d/x"),
    InstallPackages(DEBIAN, ("dovecot-core",), "dovecot.service"),
    InstallPackages(REDHAT, ("dovecot",)),
    EnableUnit("dovecot.service"),
    UnmaskUnit("dovecot.service", runtime=True),
    StartUnit("dovecot.service"),
    RestartUnit("dovecot.service"),
    ReloadUnit("dovecot.service"),
    Firewalld(RULES),
    Ufw(RULES[:1], "Status: active\n"),
]


@pytest.mark.parametrize("change", EVERY, ids=lambda change: type(change).__name__)
def test_every_change_has_a_title_a_diff_a_guard_and_a_way_back_or_a_reason(change: changes.Change):
    assert change.title
    assert change.diff()
    assert "75" in str(change.commands()[0])
    assert bool(change.undo()) != bool(change.why_not_undone)


def test_a_text_is_shown_as_a_unified_diff():
    change = WriteFile("/etc/x", FileState("0" * 64, content=b"a\nb\n"), b"a\nc\n")
    assert change.diff().splitlines() == ["--- /etc/x", "+++ /etc/x", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]


def test_a_secret_is_shown_by_its_digest_and_travels_on_standard_input():
    change = WriteFile("/etc/key", ABSENT, KEY, "0600", secret=True)
    everything = repr(change) + change.diff() + "".join(f"{command!r}{command}" for command in change.commands())
    assert "not one" not in everything
    assert change.digest in change.diff()
    assert change.commands()[1].stdin == KEY


def test_a_change_of_rights_alone_says_so():
    digest = WriteFile("/etc/key", ABSENT, KEY).digest
    change = WriteFile("/etc/key", FileState(digest, "0640", "root:ssl-cert"), KEY, "0600", secret=True)
    assert change.title == "protect /etc/key"
    assert change.diff().splitlines() == ["  /etc/key", "- 0640 root:ssl-cert", "+ 0600 root:root"]


def test_a_candidate_that_would_print_the_key_is_a_defect_of_ours():
    with pytest.raises(ValueError, match="'<'"):
        WriteDropIn("/etc/dovecot/conf.d/x.conf", ABSENT, b"ssl = required\nssl_server_key_file = </etc/key\n")


def test_services_are_taken_back_after_the_files_that_they_read():
    one, two = WriteFile("/etc/1", ABSENT, b"1"), WriteFile("/etc/2", ABSENT, b"2")
    enable, restart = EnableUnit("dovecot.service"), RestartUnit("dovecot.service")
    back = changes.undo([enable, one, two, restart])
    assert back == (*two.undo(), *one.undo(), *restart.undo(), *enable.undo())


def test_only_a_restart_costs_connections():
    assert [type(change).__name__ for change in EVERY if change.restarts] == ["RestartUnit"]
