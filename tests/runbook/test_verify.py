"""What was changed in a closed record is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mailhost.errors import MailhostError
from mailhost.finding import Finding
from runbook import record as records
from runbook.record.attach import MIME

SERVER = "mail.example.test"
FAIL = Finding("some-id", "It holds", "fail", "high", "on", "a", "b", "It does not.", "Mend it.", (3, 4))


def rewrite(path: Path, text: str) -> None:
    path.chmod(0o600)
    path.write_text(text)
    path.chmod(0o400)


def change_a_byte(record: Path) -> None:
    text = (record / "findings.json").read_text()
    rewrite(record / "findings.json", text.replace("fail", "pass", 1))


def remove_a_file(record: Path) -> None:
    (record / "findings.json").unlink()


def add_a_file(record: Path) -> None:
    (record / "extra.txt").write_text("x")
    (record / "extra.txt").chmod(0o400)


def add_a_hidden_file(record: Path) -> None:
    (record / "sections" / ".x").write_text("x")
    (record / "sections" / ".x").chmod(0o400)


def add_a_link(record: Path) -> None:
    (record / "link").symlink_to("/etc/hostname")


def put_a_link_in_place_of_a_file(record: Path) -> None:
    (record / "findings.json").rename(record.parent / "elsewhere.json")
    (record / "findings.json").symlink_to(record.parent / "elsewhere.json")


def edit_the_manifest(record: Path) -> None:
    manifest = json.loads((record / "manifest.json").read_text())
    rewrite(record / "manifest.json", json.dumps(manifest | {"verdict": "as-wanted"}))


def cut_the_manifest(record: Path) -> None:
    rewrite(record / "manifest.json", (record / "manifest.json").read_text()[:100])


def remove_the_manifest(record: Path) -> None:
    (record / "manifest.json").unlink()


def remove_the_digest(record: Path) -> None:
    (record / "manifest.sha256").unlink()


def let_others_read(record: Path) -> None:
    (record / "transcript.jsonl").chmod(0o444)


def let_it_be_written(record: Path) -> None:
    (record / "findings.json").chmod(0o600)


def let_others_into_the_folder(record: Path) -> None:
    record.chmod(0o755)


@pytest.fixture
def record(made: Callable[..., Path]) -> Path:
    folder = made(("05_secure", "failed", [FAIL]))
    (folder / "transcript.jsonl").write_text('{"n": 1}\n')
    records.close(folder)
    return folder


@pytest.mark.parametrize(
    ("tamper", "file", "word"),
    [
        (change_a_byte, "findings.json", "changed"),
        (remove_a_file, "findings.json", "missing"),
        (add_a_file, "extra.txt", "added"),
        (add_a_hidden_file, "sections/.x", "added"),
        (add_a_link, "link", "added"),
        (put_a_link_in_place_of_a_file, "findings.json", "plain file"),
        (edit_the_manifest, "manifest.json", "edited"),
        (cut_the_manifest, "manifest.json", "edited"),
        (remove_the_manifest, "manifest.json", "missing"),
        (remove_the_digest, "manifest.sha256", "missing"),
        (let_others_read, "transcript.jsonl", "others"),
        (let_it_be_written, "findings.json", "written"),
        (let_others_into_the_folder, ".", "others"),
    ],
)
def test_tampering_is_told(record: Path, tamper: Callable[[Path], None], file: str, word: str) -> None:
    assert records.verify(record) == []
    tamper(record)
    problems = records.verify(record)
    assert any(problem.file == file and word in problem.what for problem in problems), problems


def test_a_manifest_edited_with_its_digest_is_told_by_the_printed_digest(record: Path) -> None:
    digest = records.digest_of(record)
    edit_the_manifest(record)
    made_to_fit = hashlib.sha256((record / "manifest.json").read_bytes()).hexdigest()
    rewrite(record / "manifest.sha256", f"{made_to_fit}  manifest.json\n")
    assert records.verify(record) == []
    assert "not the manifest" in str(records.verify(record, digest)[0])


@pytest.mark.parametrize("digest", ["", "abc", "0" * 64])
def test_another_digest_is_told(record: Path, digest: str) -> None:
    assert records.verify(record, digest)


def test_the_right_digest_is_accepted_however_it_is_written(record: Path) -> None:
    digest = records.digest_of(record)
    assert records.verify(record, f" SHA256:{digest.upper()}\n") == []


def test_what_is_no_record_is_told(tmp_path: Path) -> None:
    assert "no such record" in str(records.verify(tmp_path / "none")[0])
    assert "manifest.json" in str(records.verify(tmp_path)[0])


def executed(record: Path | str, section: str = "05_secure") -> str:
    output = {
        "output_type": "display_data",
        "metadata": {},
        "data": {MIME: {"record": str(record), "section": section}},
    }
    cell = {
        "cell_type": "code", "id": "start", "metadata": {}, "execution_count": 1, "source": "start()",
        "outputs": [output],
    }  # fmt: skip
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_a_notebook_of_this_record_is_attached_rendered_and_sealed(record: Path, tmp_path: Path) -> None:
    before = records.digest_of(record)
    (tmp_path / "out.ipynb").write_text(executed(record))
    after = records.add(record, tmp_path / "out.ipynb")
    assert after != before
    assert records.verify(record, after) == []
    assert (record / "05_secure.ipynb").exists()
    assert "start" in (record / "05_secure.html").read_text()
    assert "05_secure.html" in (record / "index.html").read_text()


@pytest.mark.parametrize(
    "content",
    [
        executed(f"/elsewhere/{SERVER}/2020-01-01T000000Z"),
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
        '{"cells": [], "nbformat": 3}',
        "no notebook",
        "[]",
    ],
)
def test_any_other_file_is_refused(record: Path, tmp_path: Path, content: str) -> None:
    digest = records.digest_of(record)
    (tmp_path / "out.ipynb").write_text(content)
    with pytest.raises(MailhostError):
        records.add(record, tmp_path / "out.ipynb")
    assert records.verify(record, digest) == []


def test_the_section_in_a_notebook_cannot_lead_out_of_the_record(record: Path, tmp_path: Path) -> None:
    (tmp_path / "out.ipynb").write_text(executed(record, "../../escaped"))
    records.add(record, tmp_path / "out.ipynb")
    assert not (record.parent.parent / "escaped.ipynb").exists()
    assert (record / "escaped.ipynb").exists()


def test_a_file_of_the_record_is_never_replaced(record: Path, tmp_path: Path) -> None:
    (tmp_path / "out.ipynb").write_text(executed(record))
    records.add(record, tmp_path / "out.ipynb")
    with pytest.raises(MailhostError, match="already"):
        records.add(record, tmp_path / "out.ipynb")


def test_adding_does_not_seal_over_what_was_tampered_with(record: Path, tmp_path: Path) -> None:
    change_a_byte(record)
    (tmp_path / "out.ipynb").write_text(executed(record))
    with pytest.raises(MailhostError, match="verify"):
        records.add(record, tmp_path / "out.ipynb")


def test_a_notebook_that_cannot_be_shown_leaves_the_seal_as_it_was(record: Path, tmp_path: Path) -> None:
    digest = records.digest_of(record)
    broken = json.loads(executed(record))
    broken["cells"][0].pop("source")
    (tmp_path / "out.ipynb").write_text(json.dumps(broken))
    with pytest.raises(MailhostError, match="cannot be shown as a page"):
        records.add(record, tmp_path / "out.ipynb")
    assert records.verify(record, digest) == []
