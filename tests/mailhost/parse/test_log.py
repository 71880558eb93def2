"""Log lines that are known to be harmless: each is known by its own wording, and a similar line still counts."""

from __future__ import annotations

import pytest

from mailhost.parse import log

BEFORE = "2026-11-25T01:59:35+0000 mail.example.test dovecot[4503]: "
# The same line with a word that makes it another.
SIMILAR = {
    "Killed with signal 15": ("signal 15", "signal 11"),
    "SIGHUP received": ("SIGHUP", "SIGUSR1"),
    "Time moved": ("by 0.1", "by 7.1"),
    "pam_acct_mgmt": ("rbk-expired-0badcafe", "anna"),
    "fd limit": ("fd limit (ulimit -n) is lower", "fd limit (ulimit -n) reached, 256 is lower"),
    "client_limit=": ("is lower than required under max. load", "reached, client connections are being dropped"),
    "Inotify": ("Inotify instance limit", "Inotify instance failed, limit"),
    "setrlimit": ("RLIMIT_NOFILE", "RLIMIT_CORE"),
    "Obsolete": ("Obsolete setting in", "Unknown setting in"),
}


def similar(line: str) -> str:
    ((old, new),) = [change for word, change in SIMILAR.items() if word in line]
    assert old in line
    return line.replace(old, new).replace("has been replaced by", "is not")


@pytest.mark.parametrize("known", log.HARMLESS, ids=lambda known: known.pattern.pattern)
def test_a_harmless_line_is_known_with_its_reason_and_a_similar_one_counts(known: log.Harmless) -> None:
    (row,) = log.journal(BEFORE + known.example)
    assert row["known"] == known.reason
    (other,) = log.journal(BEFORE + similar(known.example))
    assert other["known"] == ""


WORKER = "auth-worker(5323): Error: "
EXPIRED = (
    f"{WORKER}conn unix:auth-worker (pid=5): auth-worker<1>: pam(rbk-expired-0badcafe): pam_acct_mgmt() failed: x",
    f"{WORKER}pam(rbk-expired-0badcafe,192.0.2.7): pam_acct_mgmt() failed: User account has expired",
)


@pytest.mark.parametrize("line", EXPIRED)
def test_an_expired_account_of_ours_is_known_in_each_versions_words(line: str) -> None:
    (row,) = log.journal(BEFORE + line)
    assert row["known"]
    (other,) = log.journal(BEFORE + line.replace("pam_acct_mgmt", "pam_open_session"))
    assert not other["known"]
