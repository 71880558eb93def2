"""The notebooks by plain `papermill`: no wrapper, from another folder, with the same verdicts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook import lab
from runbook import record as records

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ["01_preflight", "02_install", "03_configure", "04_test", "05_secure", "06_audit"]


@dataclass(frozen=True)
class Ran:
    rc: int
    text: str
    output: Path

    @property
    def record(self) -> Path:
        """The record that the executed notebook shows in its last table."""
        shown = re.findall(r"(/[^\s\"'<>\\]*/records/[^\s\"'<>\\]+)", self.output.read_text().replace("<wbr>", ""))
        assert shown, self.text
        return Path(shown[-1])


@pytest.fixture(scope="module")
def papermill(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """Run one notebook the way that automation does, from inside notebooks/."""
    folder = tmp_path_factory.mktemp("executed")

    def run(section: str, *words: str) -> Ran:
        output = folder / f"{section}-{len(list(folder.iterdir()))}.ipynb"
        done = subprocess.run(
            [sys.executable, "-m", "papermill", f"{section}.ipynb", str(output), "--no-progress-bar", *words],
            cwd=ROOT / "notebooks", capture_output=True, text=True, check=False, timeout=300, env=dict(os.environ),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Ran(done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr), output)

    return run


@pytest.fixture(scope="module")
def servers(busy_up: Callable[..., lab.Server]) -> Iterator[Callable[[str], lab.Server]]:
    made: dict[str, lab.Server] = {}

    def get(system: str) -> lab.Server:
        if system not in made:
            made[system] = busy_up(system, variant=None if system == "el" else "bare")
        return made[system]

    yield get
    for server in made.values():  # a notebook by itself keeps its record where everybody's records are
        shutil.rmtree(ROOT / "records" / server.name, ignore_errors=True)


@pytest.fixture(scope="module")
def server(servers: Callable[[str], lab.Server]) -> lab.Server:
    return servers("debian12")


@pytest.fixture(scope="module")
def all_applied(servers: Callable[[str], lab.Server], papermill: Callable[..., Ran]) -> Callable[[str], dict[str, Ran]]:
    """Each section, applied by itself in its order, on a server of that system."""
    made: dict[str, dict[str, Ran]] = {}

    def get(system: str) -> dict[str, Ran]:
        if system not in made:
            words = ("-f", str(servers(system).sheet), "-p", "mode", "apply")
            made[system] = {name: papermill(name, *words) for name in SECTIONS}
        return made[system]

    return get


@pytest.fixture(scope="module")
def applied(all_applied: Callable[[str], dict[str, Ran]]) -> dict[str, Ran]:
    return all_applied("debian12")


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("system", ["debian12", "el"])
def test_each_section_is_as_wanted(
    all_applied: Callable[[str], dict[str, Ran]], servers: Callable[[str], lab.Server], system: str, section: str
):
    ran = all_applied(system)[section]
    assert ran.rc == 0, ran.text
    known = records.load(ran.record)
    assert (known.verdict, known.state) == ("as-wanted", "closed")
    assert [one.name for one in known.sections] == [section]
    assert known.run["mode"] == "apply"
    assert servers(system).run("doveconf -h ssl").out.strip() == "required"


def test_applied_again_nothing_changes(applied: dict[str, Ran], server: lab.Server, papermill: Callable[..., Ran]):
    ran = papermill("05_secure", "-f", str(server.sheet), "-p", "mode", "apply")
    assert ran.rc == 0, ran.text
    assert records.load(ran.record).changes == 0


def test_an_executed_notebook_is_attached_and_the_record_verifies(applied: dict[str, Ran], product: Any):
    ran = applied["03_configure"]
    assert product.command("verify", str(ran.record)).rc == 0
    added = product.command("records", "add", str(ran.record), str(ran.output))
    assert added.rc == 0, added.text
    assert product.command("verify", str(ran.record)).rc == 0
    assert "run.plan(" in (ran.record / "03_configure.ipynb").read_text()
    other = product.command("records", "add", str(ran.record), str(applied["04_test"].output))
    assert other.rc == 1, "another record's notebook"
    assert "Traceback" not in other.text


def test_a_section_that_fails_ends_with_an_error_and_its_verdict_names_the_finding(
    applied: dict[str, Ran], server: lab.Server, papermill: Callable[..., Ran]
):
    server.run("systemctl disable dovecot")
    try:
        ran = papermill("06_audit", "-f", str(server.sheet))
    finally:
        server.run("systemctl enable dovecot")
    assert ran.rc != 0
    cells = {cell["id"]: cell for cell in json.loads(ran.output.read_text())["cells"]}
    shown = json.dumps(cells["verdict"]["outputs"])
    assert "unit-enabled" in shown
    assert "systemctl enable" in shown
    assert "VerdictError" in shown
    assert records.load(ran.record).verdict == "failed"


def test_an_unknown_distribution_stops_the_first_cell(
    applied: dict[str, Ran], server: lab.Server, papermill: Callable[..., Ran]
):
    server.run("cp -P /etc/os-release /root/; rm /etc/os-release; echo ID=plan9 >/etc/os-release")
    try:
        ran = papermill("05_secure", "-f", str(server.sheet), "-p", "mode", "apply")
    finally:
        server.run("rm /etc/os-release; cp -P /root/os-release /etc/os-release")
    assert ran.rc != 0
    assert "UnsupportedError" in ran.text
    assert "To do:" in ran.text
    assert records.load(ran.record).verdict == "failed"
    assert records.load(ran.record).state == "closed"


def test_ticket_as_a_text(server: lab.Server, applied: dict[str, Ran], papermill: Callable[..., Ran]):
    ran = papermill("02_install", "-p", "server", str(server.sheet), "-r", "ticket", "0012345")
    assert ran.rc == 0, ran.text
    assert records.load(ran.record).run["ticket"] == "0012345"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-p", "mode", "aply"], '"plan" or "apply"'),
        (["-p", "ticket", "0012345"], "-r ticket"),
        (["-y", "failed_logins: many"], "failed_logins"),
        (["-p", "server", "no-such-server-anywhere"], "no such file"),
    ],
)
def test_a_wrong_parameter_stops_the_first_cell(
    server: lab.Server, papermill: Callable[..., Ran], words: list[str], expected: str
):
    before = server.run("journalctl -u ssh -u sshd --no-pager | grep -c Accepted").out
    given = (
        ["-f", str(server.sheet)]
        if words[0] == "-y"
        else []
        if "server" in words
        else ["-p", "server", str(server.sheet)]
    )
    ran = papermill("03_configure", *given, *words)
    assert ran.rc != 0
    assert expected in ran.text
    assert "To do:" in ran.text
    assert "SheetError" in ran.text
    assert server.run("journalctl -u ssh -u sshd --no-pager | grep -c Accepted").out == before
    cells = json.loads(ran.output.read_text())["cells"]
    done = [
        c["id"]
        for c in cells
        if c["cell_type"] == "code" and c.get("execution_count") and not c["id"].startswith("papermill")
    ]
    assert "now" not in done


@pytest.mark.parametrize("section", SECTIONS)
def test_the_help_lists_every_parameter_with_its_text(section: str):
    told = subprocess.run(
        [sys.executable, "-m", "papermill", "--help-notebook", f"{section}.ipynb"],
        cwd=ROOT / "notebooks", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0
    words = [
        "server",
        "mode",
        "ticket",
        "note",
        "record",
        "canary",
        "thorough",
        *yaml.safe_load((ROOT / "parameters/example.yaml").read_text()),
    ]
    for name in words:
        line = re.search(rf"^  {name}: .*\n? +\S.*", told.stdout, re.MULTILINE)
        assert line, (name, told.stdout)
        assert re.search(rf"^  {name}: \S+ \(default [^)]*\)\s+\w+", told.stdout, re.MULTILINE), line.group()
