"""What people are shown of facts and dialogues: dates, sizes, turns."""

from __future__ import annotations

import time

from mailhost.facts.clock import Clock
from mailhost.facts.disk import Disk, Space
from mailhost.facts.firewall import Firewall
from mailhost.facts.system import System
from mailhost.finding import Finding
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.target import Target
from mailhost.probes.wire import Line
from runbook import tables, views


def shown(value: object) -> dict[str, object]:
    return {row["what"]: row["value"] for row in views.fact_rows(value)}


def test_times_are_dates() -> None:
    rows = shown(Clock(now=1795430360, asked=1795430360.7, synchronised=True))
    assert rows["now"] == rows["asked"] == "2026-11-23 10:39:20 UTC"
    assert rows["synchronised"] is True


def test_sizes_are_read_at_a_glance() -> None:
    (row,) = views.fact_rows(Disk(rows=(Space("/", "ext4", "/", 78_263_902_208, 16_207_136),)))
    assert row["available"] == "78.3 GB"
    assert row["inodes"] == 16_207_136
    assert shown(System(memory_total_kb=512_000))["memory total"] == "524 MB"


def test_what_is_not_known_stays_so() -> None:
    (row,) = views.fact_rows(Disk(rows=(Space("/home", "btrfs", "/home", None, None),)))
    assert row["available"] is None


def test_no_address_of_a_vendor_is_shown() -> None:
    rows = shown(System(os_release={"PRETTY_NAME": "Debian 12", "HOME_URL": "https://www.example.org/"}))
    assert rows["os release"] == "Debian 12"


def test_a_firewalls_own_words_are_shown_where_they_are_needed() -> None:
    known = Firewall(tool="firewalld", runtime={"imap": "open"}, permanent={"imap": "open"}, raw="public\n services:")
    own = Firewall(tool="firewalld", runtime={"imap": "unknown"}, permanent={"imap": "open"}, raw="rich rules")
    assert "raw" not in shown(known)
    assert shown(own)["raw"] == "rich rules"


def test_findings_that_say_the_same_stand_in_one_row() -> None:
    found = [
        Finding("a", "It is open", "pass", subject=subject, expected="open", actual="open", evidence=(number,))
        for subject, number in (("imap", 3), ("pop3", 4), ("pop3s", 7))
    ]
    table = tables.findings_table(found)
    assert table.text.count("It is open (imap, pop3, pop3s)") == 1
    assert "3-4, 7" in table.text
    assert len(table.data["findings"]) == 3


def test_what_one_side_says_in_a_row_is_one_row_however_much_it_is() -> None:
    lines = (Line("S", "+OK ready", 1), Line("C", "CAPA", 2), *(Line("S", "x" * 100, 3) for _ in range(100_000)))
    started = time.monotonic()
    rows = views.probe_rows([Dialogue(Target("pop3", "192.0.2.1", 110, "a.test"), "greet", "", lines, error="late")])
    assert time.monotonic() - started < 5
    assert [(row["ms"], row["who"]) for row in rows] == [(1, "server"), (2, "client"), (3, "server"), (None, "-")]
    assert rows[2]["what"].count("\n") == 99_999
