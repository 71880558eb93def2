"""Where a setting stands: the command that looks for it, on real files, and what is read out of its answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mailhost.facts import dovecot


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    made = tmp_path / "etc/dovecot"
    for name, text in {
        "etc/dovecot/dovecot.conf": f"protocols = imap\n!include conf.d/*.conf\n!include_try {tmp_path}/opt/a*.conf\n",
        "etc/dovecot/conf.d/10-ssl.conf": "  ssl = yes\n#ssl = no\nnot_ours = 1\n",
        "opt/a file.conf": "ssl = no\n",
        "opt/also.conf": f"# mine\n!include {tmp_path}/opt/deep/own.conf\n",
        "opt/deep/own.conf": "ssl = required\n",
        "opt/other.conf": "ssl = never read\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return made


def asked(etc: Path) -> list[dovecot.Line]:
    pattern = r"^[[:space:]]*(!include(_try)?[[:space:]]|(ssl|protocols)[[:space:]]*[={])"
    command = dovecot.sh(dovecot._GREP, str(etc), pattern)
    done = subprocess.run(command.argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stderr == ""
    return [line for row in done.stdout.splitlines() if (line := dovecot._line(row))]


def test_files_that_are_included_from_elsewhere_are_looked_at_too(etc: Path) -> None:
    told = {(Path(line.path).name, line.number, line.name, line.text) for line in asked(etc) if line.name == "ssl"}
    assert told == {
        ("10-ssl.conf", 1, "ssl", "ssl = yes"),
        ("a file.conf", 1, "ssl", "ssl = no"),
        ("own.conf", 1, "ssl", "ssl = required"),
    }


def test_a_line_that_includes_has_one_name(etc: Path) -> None:
    told = [(Path(line.path).name, line.number) for line in asked(etc) if line.name == dovecot.INCLUDE]
    assert told == [("dovecot.conf", 2), ("dovecot.conf", 3), ("also.conf", 2)]


@pytest.mark.parametrize("folder", ["nowhere", "etc"])
def test_where_no_file_is_there_is_no_line(etc: Path, folder: str) -> None:
    empty = etc.parent.parent / "empty"
    empty.mkdir()
    assert asked(empty if folder == "etc" else empty / folder) == []
