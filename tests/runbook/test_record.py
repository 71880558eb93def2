"""A record's life: created, opened and closed by sections, sealed."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailhost import redact, sheet
from mailhost.errors import MailhostError
from mailhost.finding import Finding
from runbook import record as records
from runbook.record import folder as files
from runbook.record.sections import path_of

SERVER = "mail.example.test"
PASS = Finding("unit-active", "Dovecot runs", "pass", actual="active", evidence=(2,))
FAIL = Finding("some-id", "It holds", "fail", "high", "on", "a", "b", "It does not.", "Mend it.", (3, 4), blocking=True)
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def a_dead_process() -> dict[str, object]:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    known = files.process(child.pid)
    child.wait()
    return known


def test_is_named_by_server_and_utc_time(tmp_path: Path) -> None:
    made = records.create(tmp_path, SERVER, now=NOON)
    assert made == tmp_path / SERVER / "2026-11-23T120000Z"
    assert mode_of(made) == 0o700
    assert all(mode_of(file) == 0o600 for file in made.rglob("*") if file.is_file())


def test_a_section_alone_has_its_name_in_the_folders_name(tmp_path: Path) -> None:
    assert records.create(tmp_path, SERVER, section="03_configure", now=NOON).name == "2026-11-23T120000Z-03_configure"


def test_two_that_start_in_the_same_second_are_two(tmp_path: Path) -> None:
    folders = {records.create(tmp_path, SERVER, now=NOON) for _ in range(5)}
    assert len(folders) == 5
    assert len({json.loads((folder / "run.json").read_text())["id"] for folder in folders}) == 5


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b"])
def test_a_name_that_would_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MailhostError):
        records.create(tmp_path, name, now=NOON)
    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file")
    with pytest.raises(MailhostError, match="--records"):
        records.create(tmp_path / "records", SERVER)


def test_keeps_ticket_and_note_as_they_were_given(made: Callable[..., Path]) -> None:
    folder = made(ticket="0012345", note="für <b>")
    records.close(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["ticket"], manifest["note"]) == ("0012345", "für <b>")
    assert "für &lt;b&gt;" in (folder / "index.html").read_text()


def test_an_open_section_of_a_living_process_is_open(made: Callable[..., Path]) -> None:
    folder = made()
    records.open_section(folder, "01_preflight")
    known = records.load(folder)
    assert (known.state, known.verdict, known.sections[0].state) == ("open", "open", "open")


def test_an_open_section_of_a_dead_process_is_interrupted(made: Callable[..., Path]) -> None:
    folder = made(("01_preflight", "as-wanted", []))
    records.open_section(folder, "02_install", **a_dead_process())
    known = records.load(folder)
    assert known.sections[1].state == "interrupted"
    assert known.verdict == "interrupted"
    records.close(folder)
    known = records.load(folder)
    assert (known.state, known.verdict) == ("closed", "interrupted")
    assert "last cell" in str(known.sections[1].error)


def test_a_process_id_that_was_given_to_another_process_is_no_life(made: Callable[..., Path]) -> None:
    folder = made()
    records.open_section(folder, "02_install", pid_start="1")
    assert records.load(folder).sections[0].state == "interrupted"


def test_a_process_of_another_boot_or_machine_is_no_life(made: Callable[..., Path]) -> None:
    folder = made()
    records.open_section(folder, "02_install", boot_id="another")
    records.open_section(folder, "03_configure", host="elsewhere")
    assert {section.state for section in records.load(folder).sections} == {"interrupted"}


def test_a_planned_section_of_which_nothing_is_known_makes_it_interrupted(made: Callable[..., Path]) -> None:
    folder = made(("01_preflight", "as-wanted", []), planned=["01_preflight", "02_install"])
    records.close(folder)
    assert records.load(folder).verdict == "interrupted"


def test_a_record_without_a_seal_and_without_a_run_is_interrupted(made: Callable[..., Path]) -> None:
    folder = made(("01_preflight", "as-wanted", []))
    run = json.loads((folder / "run.json").read_text())
    files.write_json(folder / "run.json", run | {"process": a_dead_process()})
    assert records.load(folder).verdict == "interrupted"
    records.close(folder)
    assert records.load(folder).verdict == "as-wanted"


def test_the_verdict_is_the_worst_one() -> None:
    order = ["no-go", "failed", "interrupted", "unknown", "pending", "as-wanted"]
    for position, verdict in enumerate(order):
        assert records.worst(reversed(order[position:])) == verdict
    assert records.worst(["as-wanted", "not-run"]) == "as-wanted"
    assert records.worst([]) == "interrupted"
    assert records.worst(["as-wanted", "nonsense"]) == "nonsense", "what is not known is never better than what is"


def test_a_section_that_runs_again_keeps_its_earlier_end(made: Callable[..., Path]) -> None:
    folder = made(("03_configure", "pending", []))
    records.open_section(folder, "03_configure", mode="apply")
    records.write_section(folder, {"name": "03_configure", "state": "closed", "verdict": "as-wanted", "changes": 2})
    (section,) = records.load(folder).sections
    assert (section.verdict, section.changes) == ("as-wanted", 2)
    assert [earlier["verdict"] for earlier in section.earlier] == ["pending"]


def test_facts_before_are_of_the_first_section_and_facts_after_of_the_last(made: Callable[..., Path]) -> None:
    folder = made()
    for name, facts in (
        ("01", {"dovecot_before": None, "dovecot_after": None}),
        ("02", {"dovecot_before": "2.3.19.1", "dovecot_after": "2.3.19.1"}),
    ):
        records.open_section(folder, name)
        records.write_section(folder, {"name": name, "state": "closed", "verdict": "as-wanted", "facts": facts})
    assert records.load(folder).facts == {"dovecot_before": None, "dovecot_after": "2.3.19.1"}


def test_closing_hashes_every_file_and_takes_the_right_to_write(closed: Path) -> None:
    manifest = json.loads((closed / "manifest.json").read_text())
    there = {path.relative_to(closed).as_posix() for path in closed.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == there - {"manifest.json", "manifest.sha256"}
    assert {"findings.json", "index.html", "run.json", "sections/05_secure.json"} <= there
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((closed / name).read_bytes()).hexdigest() == digest
    assert all(mode_of(closed / name) == 0o400 for name in there)
    done = subprocess.run(["sha256sum", "-c", "manifest.sha256"], cwd=closed, check=False, capture_output=True)
    assert done.returncode == 0


def test_the_manifest_says_who_what_when_and_by_what(closed: Path) -> None:
    manifest = json.loads((closed / "manifest.json").read_text())
    assert manifest["server"] == SERVER
    assert manifest["verdict"] == "failed"
    assert manifest["who"]["user"]
    assert manifest["who"]["machine"]
    assert manifest["findings"] == {"pass": 1, "fail": 1, "skip": 0, "unknown": 0}
    assert manifest["sections"][0]["findings"]["fail"] == 1
    assert {"python", "papermill", "fabric", "dovecot-runbook"} <= set(manifest["runbook"]["versions"])
    assert manifest["runbook"]["modified"] in (True, False, None)
    for key in ("run", "started", "closed", "mode", "addresses", "host_key", "machine_id", "distribution",
                "dovecot_before", "dovecot_after", "round_trips", "connections", "seconds"):  # fmt: skip
        assert key in manifest


def test_findings_are_one_list_with_their_section(closed: Path) -> None:
    findings = json.loads((closed / "findings.json").read_text())
    assert [(row["section"], row["id"], row["status"]) for row in findings] == [
        ("05_secure", "unit-active", "pass"),
        ("05_secure", "cleartext-refused", "fail"),
    ]


def test_closing_twice_changes_nothing(closed: Path) -> None:
    digest = records.digest_of(closed)
    assert records.close(closed) == digest
    assert records.verify(closed, digest) == []


def test_nothing_is_written_to_a_closed_record(closed: Path) -> None:
    with pytest.raises(MailhostError, match="closed"):
        records.open_section(closed, "06_audit")
    with pytest.raises(MailhostError, match="closed"):
        records.write_section(closed, {"name": "05_secure", "verdict": "as-wanted"})


def test_a_running_section_keeps_the_record_open(made: Callable[..., Path]) -> None:
    folder = made()
    records.open_section(folder, "02_install")
    with pytest.raises(MailhostError, match="02_install"):
        records.close(folder)
    assert not (folder / "manifest.json").exists()


def test_a_record_that_holds_a_secret_is_not_closed_but_told(made: Callable[..., Path]) -> None:
    folder = made(("01_preflight", "as-wanted", []))
    key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"
    (folder / "left.txt").write_text(key)
    with pytest.raises(MailhostError, match=r"left\.txt"):
        records.close(folder)
    assert not (folder / "manifest.json").exists()
    (folder / "left.txt").unlink()
    records.close(folder)


def test_a_password_that_is_a_common_word_is_not_found_in_our_own_keys(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redact, "_secrets", ("password",))
    record = made()
    files.write_json(record / "sheet.json", {"test_account": {"name": "ann", "password": "env:WORD"}})
    assert records.close(record)


def test_the_scan_knows_what_the_sheets_references_lead_to(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(redact, "_secrets", ())
    monkeypatch.setenv("MAILTEST_WORD", "correct-horse-9")
    folder = made(("01_preflight", "as-wanted", []))
    account = {"name": "mailtest", "password": "env:MAILTEST_WORD"}
    values = {"name": SERVER, "mail_names": [SERVER], "test_account": account}
    records.write_sheet(folder, sheet.from_mapping(values, base=tmp_path, source="a test"))
    (folder / "out.ipynb.txt").write_text("LOGIN mailtest correct-horse-9")
    with pytest.raises(MailhostError, match=r"out\.ipynb\.txt"):
        records.close(folder)


def test_what_is_written_is_redacted(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", ())
    redact.register("s3cret-word")
    folder = made()
    records.open_section(folder, "01_preflight", facts={"said": ["PASS s3cret-word"]})
    assert "s3cret" not in path_of(folder, "01_preflight").read_text()


def test_what_jupyter_leaves_behind_is_no_part_of_it(made: Callable[..., Path]) -> None:
    folder = made(("01_preflight", "as-wanted", []))
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "x-checkpoint.ipynb").write_text("{}")
    records.close(folder)
    assert not (folder / ".ipynb_checkpoints").exists()


def test_the_listing_is_by_time_and_passes_over_what_is_no_record(made: Callable[..., Path], tmp_path: Path) -> None:
    first, second = made(now=NOON), made()
    (tmp_path / "records" / SERVER / "notes").mkdir()
    (tmp_path / "records" / SERVER / "broken").mkdir()
    (tmp_path / "records" / SERVER / "broken" / "run.json").write_text("not json")
    found = records.listing(tmp_path / "records", SERVER)
    assert {record.path for record in found} == {first, second}
    assert records.listing(tmp_path / "records", "another") == []


def test_half_written_files_do_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.json").write_text("before")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        files.write(tmp_path / "x.json", "after")
    monkeypatch.undo()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.json", "before")]


def test_findings_come_back_as_they_were(made: Callable[..., Path]) -> None:
    folder = made(("05_secure", "failed", [FAIL, PASS]))
    assert records.load(folder).sections[0].findings == (FAIL, PASS)
