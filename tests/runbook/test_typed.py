"""Secrets that are typed: asked for before a run begins, handed to its kernels, and kept in no file."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyter_client.manager import start_new_kernel

from mailhost import sheet
from runbook import engine, running, sections

ROOT = Path(__file__).parents[2]
SERVER = "mail.example.test"
WORD = "Zeisig-4711"
SHEET = f"""\
name: {SERVER}
mail_names: [{SERVER}]
ssh: {{host: 192.0.2.1, user: ann, sudo_password: "prompt:"}}
test_account: {{name: mailtest, password: "prompt:"}}
"""
# What a section does that needs the secret, and what the kernel's process shows of it to others meanwhile.
ASKS = """
from mailhost import sheet
word = sheet.secret("prompt:", what="sudo password of ann")
print("got", len(word), "characters:", word)
shown = Path("/proc/self/environ").read_text() + Path("/proc/self/cmdline").read_text() + sys.stdin.read()
print("shown" if word in shown else "hidden")
"""


@pytest.fixture
def asking(project: Any) -> Any:
    """A project with two sections that need what is typed."""
    (project.root / "parameters" / f"{SERVER}.yaml").write_text(SHEET)
    for name in ("01_preflight", "06_audit"):
        project.section(name, f"import sys\n{ASKS}", "close('as-wanted', changes=0, seconds=0.1)")
    return project


def at_a_terminal(root: Path, words: tuple[str, ...], typed: dict[str, str]) -> tuple[int, str]:
    """Run the command at a terminal of its own, type at each prompt; its exit code and all that the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(root)
        os.execv(sys.executable, [sys.executable, "-m", "runbook", *words])  # noqa: S606
    shown, left, ends = "", dict(typed), time.monotonic() + 90
    while time.monotonic() < ends:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:  # the other end is closed: the command has ended
            break
        for asked in [each for each in left if each in shown]:
            os.write(terminal, f"{left.pop(asked)}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def files_with(word: str, folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and word in file.read_text(errors="replace")]


def test_what_is_typed_reaches_every_kernel_and_no_file(asking: Any, tmp_path: Path) -> None:
    words = ("run", SERVER, "--records", str(tmp_path / "kept"))
    code, shown = at_a_terminal(
        asking.root, words, {"sudo password of ann: ": WORD, "password of mailtest: ": "Distel-0815"}
    )
    assert code == 0, shown
    assert WORD not in shown
    assert "Distel-0815" not in shown
    (record,) = (tmp_path / "kept" / SERVER).iterdir()
    for name in ("01_preflight", "06_audit"):
        told = (record / f"{name}.ipynb").read_text()
        assert "got 11 characters: ***" in told
        assert "hidden" in told
    assert not files_with(WORD, tmp_path)
    assert not files_with("Distel-0815", tmp_path)


def test_sudo_takes_what_was_typed(lab_up: Any, tmp_path: Path) -> None:
    server = lab_up("debian12", variant="sudo-password")
    word = (server.folder / "sudo-password").read_text().strip()
    values = yaml.safe_load(server.sheet.read_text())
    values["ssh"]["sudo_password"] = "prompt:"
    (tmp_path / "sheet.yaml").write_text(yaml.safe_dump(values))
    words = ("run", str(tmp_path / "sheet.yaml"), "--section", "01", "--records", str(tmp_path / "kept"))
    code, shown = at_a_terminal(ROOT, words, {"sudo password of admin: ": word})
    assert code == 0, shown
    assert "as-wanted" in shown
    assert not files_with(word, tmp_path)


def test_an_audit_with_a_temporary_account_asks_for_no_other(asking: Any) -> None:
    code, shown = at_a_terminal(asking.root, ("audit", SERVER, "--canary"), {"sudo password of ann: ": WORD})
    assert code == 0, shown
    assert "mailtest" not in shown


def test_without_a_terminal_it_is_told_before_a_record_is_made(asking: Any) -> None:
    done = asking.command("run", SERVER)
    assert done.returncode == 1
    assert "the sudo password of ann is to be typed in, and nobody is there to type it" in done.stderr
    assert "To do:" in done.stderr
    assert not asking.records.exists()


@pytest.mark.parametrize("typed", ["", "\x04"])
def test_nothing_typed_is_told_before_a_record_is_made(asking: Any, typed: str) -> None:
    code, shown = at_a_terminal(asking.root, ("run", SERVER), {"sudo password of ann: ": typed})
    assert code == 1
    assert re.search(r"the sudo password .*(is empty|nobody is there)", shown)
    assert not asking.records.exists()


def test_a_kernel_knows_nothing_that_was_not_typed(project: Any, tmp_path: Path) -> None:
    source = "from mailhost import sheet; sheet.secret('prompt:', what='sudo password of ann')"
    done = engine.execute(project.notebook("n", source), tmp_path / "out.ipynb", {})
    assert (done.status, done.name) == ("error", "SheetError")
    assert "nobody is there to type it" in done.error


def orders(**values: Any) -> list[str]:
    order = running.Order(Path("x.yaml"), values.pop("want"), sections.pick(ROOT, values.pop("names", ())), **values)
    return [what for what, _ in order.prompts()]


def test_only_what_a_run_needs_is_asked_for(asking: Any) -> None:
    want = sheet.load(asking.root / "parameters" / f"{SERVER}.yaml", base=asking.root)
    both, sudo = ["sudo password of ann", "password of mailtest"], ["sudo password of ann"]
    assert orders(want=want) == orders(want=want, mode="apply") == both
    assert orders(want=want, names=("06",)) == both
    assert orders(want=want, names=("06",), canary=True) == sudo
    assert orders(want=want, names=("01", "02", "03")) == sudo
    assert orders(want=want, names=("05",)) == both
    assert orders(want=want, names=("05",), mode="apply") == sudo
    root = want.model_copy(update={"ssh": want.ssh.model_copy(update={"user": "root"}), "test_account": None})
    assert orders(want=root) == []


def test_the_sections_that_log_in_are_those_that_take_an_account() -> None:
    found = {section.number: section.path.read_text() for section in sections.available(ROOT)}
    assert {n for n, text in found.items() if "run.account(temporary=run.applying" in text} == set(running.LOGS_IN)
    assert {n for n, text in found.items() if "run.account(temporary=run.asked.canary" in text} == {sections.AUDIT}
    assert sum("run.account(" in text for text in found.values()) == len(running.LOGS_IN) + 1


@pytest.mark.parametrize("allowed", [True, False])
def test_a_notebook_asks_where_its_reader_can_answer(allowed: bool) -> None:  # noqa: FBT001
    """As JupyterLab does it, and as papermill does not."""
    manager, client = start_new_kernel(kernel_name="python3")
    asked, said = [], []

    def answer(message: Any) -> None:
        asked.append(message["content"])
        client.input(WORD)

    try:
        source = "from mailhost import sheet; print(len(sheet.secret('prompt:', what='sudo password of ann')))"
        reply = client.execute_interactive(
            source, allow_stdin=allowed, stdin_hook=answer, timeout=60, output_hook=lambda m: said.append(m["content"])
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if allowed:
        assert asked == [{"prompt": "sudo password of ann: ", "password": True}]
        assert {"name": "stdout", "text": f"{len(WORD)}\n"} in said
    else:
        assert reply["content"]["ename"] == "SheetError"
        assert "nobody is there to type it" in reply["content"]["evalue"]
