"""The transcript: numbered, appended at once, redacted, private."""

import json
import stat

from mailhost import redact
from mailhost.transcript import Transcript


def entries(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_numbers_go_on_in_the_next_section(tmp_path):
    path = tmp_path / "transcript.jsonl"
    Transcript(path, section="01").add("note", text="one")
    again = Transcript(path, section="02")
    assert again.add("note", text="two") == 2
    assert [(e["n"], e["section"]) for e in entries(path)] == [(1, "01"), (2, "02")]


def test_what_a_crash_cut_short_stays_and_keeps_its_number(tmp_path):
    path = tmp_path / "transcript.jsonl"
    path.write_text('{"n": 1}\n{"n": 2, "tex')
    assert Transcript(path).add("note") == 3
    assert path.read_text().splitlines()[1] == '{"n": 2, "tex'


def test_secrets_are_masked_however_deep_they_lie(tmp_path):
    redact.register("deep-secret-1")
    path = tmp_path / "transcript.jsonl"
    Transcript(path).add("dialogue", lines=[{"who": "C", "text": "PASS deep-secret-1"}])
    assert "deep-secret-1" not in path.read_text()
    assert entries(path)[0]["lines"][0]["text"] == "PASS ***"


def test_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "transcript.jsonl"
    Transcript(path).add("note")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path):
    path = tmp_path / "transcript.jsonl"
    Transcript(path).add("note", text="\udcff")
    assert len(entries(path)) == 1
