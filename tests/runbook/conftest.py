"""A small project in a temporary folder: notebooks that need no server, a sheet, certificates in name only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailhost.finding import Finding

SERVER = "mail.example.test"
SHEET = f"""\
name: {SERVER}
mail_names: [{SERVER}]
ssh: {{host: 192.0.2.1}}
"""
_PARAMETERS = (
    "server = None\nmode = 'plan'\nticket = None\nnote = None\nrecord = None\ncanary = False\nthorough = False\n"
)
_OPEN = """\
from pathlib import Path
from runbook import record as records
NAME = {name!r}
records.open_section(Path(record), NAME, title={title!r}, mode=mode)
def close(verdict, **values):
    records.write_section(Path(record), {{"name": NAME, "state": "closed", "verdict": verdict, **values}})
    if verdict in ("failed", "unknown", "no-go"):
        raise SystemExit(verdict)
"""

FAIL = Finding(
    "cleartext-refused", "Cleartext login is refused", "fail", "critical", "pop3 192.0.2.1:110",
    "-ERR", "+OK", "Port 110 takes passwords in clear.", "Set ssl = required.", (3, 4),
)  # fmt: skip
PASS = Finding("unit-active", "Dovecot runs", "pass", actual="active", evidence=(2,))


@dataclass(frozen=True)
class Project:
    """A repository's root with notebooks/ and parameters/."""

    root: Path

    @property
    def records(self) -> Path:
        return self.root / "records"

    def section(self, name: str, *cells: str, title: str = "The condition holds") -> Path:
        """Write a notebook whose first cell opens the section, as the real ones do; ``cells`` follow."""
        return self.notebook(name, _OPEN.format(name=name, title=title), *cells, title=title)

    def notebook(self, name: str, *cells: str, title: str = "A page") -> Path:
        ids = ["parameters", "start", *(f"step-{number}" for number in range(1, len(cells)))]
        sources = [_PARAMETERS, *cells]
        code = [
            {
                "cell_type": "code",
                "id": cell_id,
                "metadata": {"tags": ["parameters"]} if cell_id == "parameters" else {},
                "execution_count": None,
                "outputs": [],
                "source": textwrap.dedent(source),
            }
            for cell_id, source in zip(ids, sources, strict=True)
        ]
        prose = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# {title}\n\nOK if it holds."}
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        path = self.root / "notebooks" / f"{name}.ipynb"
        path.write_text(
            json.dumps(
                {"cells": [prose, *code], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
            )
        )
        return path

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "runbook", *words],
            cwd=self.root, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment},
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "runbook", *words],
            cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for folder in ("notebooks", "parameters"):
        (tmp_path / folder).mkdir()
    (tmp_path / "parameters" / f"{SERVER}.yaml").write_text(SHEET)
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def six(project: Project) -> Project:
    """All six sections, each as wanted."""
    for name in ("01_preflight", "02_install", "03_configure", "04_test", "05_secure", "06_audit"):
        project.section(name, "close('as-wanted', changes=0, seconds=0.1)")
    return project


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Makes an open record with closed sections in it: (name, verdict, findings)."""
    from runbook import record as records

    def make(*sections: tuple[str, str, Sequence[Finding]], planned: Sequence[str] = (), **values: Any) -> Path:
        folder = records.create(tmp_path / "records", SERVER, planned=planned, **values)
        for name, verdict, findings in sections:
            records.open_section(folder, name, title=f"Title of {name}")
            told = [finding.as_dict() for finding in findings]
            records.write_section(
                folder, {"name": name, "state": "closed", "verdict": verdict, "findings": told, "changes": 1}
            )
        return folder

    return make


@pytest.fixture
def closed(made: Callable[..., Path]) -> Path:
    """A closed record with one section that failed."""
    from runbook import record as records

    folder = made(("05_secure", "failed", [PASS, FAIL]), ticket="CHG-1", note="a note")
    records.close(folder)
    return folder
