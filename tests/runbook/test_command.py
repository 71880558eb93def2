"""The command `runbook`, as a user runs it: what it prints where, its exit codes, the record that it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

SERVER = "mail.example.test"
SUMMARY = {
    "server", "record", "mode", "verdict", "changes", "findings", "sections", "round_trips", "connections", "seconds",
}  # fmt: skip
COMMANDS = (
    "run", "audit", "init", "open", "close", "verify", "records", "records add", "records list",
    "lab", "lab up", "lab list", "lab down",
)  # fmt: skip


def the_record(project: Any) -> Path:
    (folder,) = (project.records / SERVER).iterdir()
    return Path(folder)


def test_a_run_takes_all_sections_and_exits_0(six: Any) -> None:
    done = six.command("run", SERVER, "--ticket", "0012", "--note", "a note")
    assert done.returncode == 0, done.stderr
    record = the_record(six)
    manifest = json.loads((record / "manifest.json").read_text())
    assert [section["name"][:2] for section in manifest["sections"]] == ["01", "02", "03", "04", "05", "06"]
    assert (manifest["ticket"], manifest["note"], manifest["mode"]) == ("0012", "a note", "plan")
    assert (record / "03_configure.ipynb").exists()
    assert (record / "03_configure.html").exists()
    for told in ("as-wanted", str(record), str(record / "index.html")):
        assert told in done.stdout
    digest = re.search(r"digest +([0-9a-f]{64})", done.stdout)
    assert digest
    assert six.command("verify", str(record), "--digest", digest[1]).returncode == 0


def test_progress_is_plain_lines_on_stderr(six: Any) -> None:
    done = six.command("run", SERVER)
    assert "\x1b" not in done.stderr + done.stdout
    assert re.search(r"\[ *\d+\.\d s\] 03_configure  begins", done.stderr)
    assert re.search(r"03_configure  as-wanted 0 changes", done.stderr)


def test_json_is_the_summary_and_nothing_else(six: Any) -> None:
    done = six.command("run", SERVER, "--json")
    told = json.loads(done.stdout)
    assert set(told) == SUMMARY
    assert told["server"] == SERVER
    assert Path(told["record"]) == the_record(six)
    assert set(told["findings"]) == {"pass", "fail", "skip", "unknown"}
    assert [set(section) for section in told["sections"]] == [{"name", "verdict", "changes", "seconds"}] * 6


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("as-wanted", 0), ("pending", 2), ("failed", 1), ("unknown", 1), ("no-go", 1)],
)
def test_the_exit_code_is_the_verdicts(project: Any, verdict: str, code: int) -> None:
    project.section("03_configure", f"close({verdict!r})")
    done = project.command("run", SERVER, "--json")
    assert (json.loads(done.stdout)["verdict"], done.returncode) == (verdict, code)
    assert project.command("verify", str(the_record(project))).returncode == 0


def test_a_no_go_stops_the_run(six: Any) -> None:
    six.section("01_preflight", "close('no-go')")
    done = six.command("run", SERVER, "--mode", "apply", "--json")
    told = json.loads(done.stdout)
    assert (told["verdict"], done.returncode) == ("no-go", 1)
    assert [section["verdict"] for section in told["sections"]] == ["no-go", *["not-run"] * 5]
    assert not (the_record(six) / "02_install.ipynb").exists()
    assert "01_preflight says no-go" in (the_record(six) / "index.html").read_text()


def test_a_failed_section_stops_later_ones_when_applying_only(six: Any) -> None:
    six.section("03_configure", "close('failed')")
    applied = json.loads(six.command("run", SERVER, "--mode", "apply", "--json").stdout)
    assert [section["verdict"] for section in applied["sections"]][2:] == ["failed", "not-run", "not-run", "not-run"]
    planned = json.loads(six.command("run", SERVER, "--json").stdout)
    assert [section["verdict"] for section in planned["sections"]][2:] == [
        "failed",
        "as-wanted",
        "as-wanted",
        "as-wanted",
    ]


def test_findings_that_are_no_pass_are_told_with_their_remedy(project: Any) -> None:
    project.section(
        "05_secure",
        """
        from mailhost.finding import Finding
        bad = Finding("cleartext-refused", "Refused", "fail", subject="pop3", message="It is taken.", remedy="Set it.")
        good = Finding("unit-active", "Runs", "pass")
        close("failed", findings=[bad.as_dict(), good.as_dict()])
        """,
    )
    done = project.command("run", SERVER)
    assert "cleartext-refused  pop3" in done.stdout
    assert "It is taken." in done.stdout
    assert "To do: Set it." in done.stdout
    assert "unit-active" not in done.stdout


def test_sections_are_named_in_any_way_and_alone_they_name_the_record(six: Any) -> None:
    done = six.command("run", SERVER, "--section", "configure", "--json")
    assert [section["name"] for section in json.loads(done.stdout)["sections"]] == ["03_configure"]
    assert the_record(six).name.endswith("Z-03_configure")


def test_an_audit_is_section_06_in_plan_mode(six: Any) -> None:
    six.section("06_audit", "print(mode, canary, thorough)", "close('as-wanted')")
    done = six.command("audit", SERVER, "--canary", "--thorough", "--json")
    assert [section["name"] for section in json.loads(done.stdout)["sections"]] == ["06_audit"]
    assert "plan True True" in (the_record(six) / "06_audit.ipynb").read_text()


def test_records_can_lie_elsewhere(six: Any, tmp_path: Path) -> None:
    done = six.command("run", SERVER, "--section", "01", "--records", "kept", "--json")
    assert Path(json.loads(done.stdout)["record"]).is_relative_to(tmp_path / "kept")


def test_an_error_of_ours_is_told_without_a_traceback_and_stops_the_run(six: Any) -> None:
    six.section(
        "02_install",
        "from mailhost.errors import Unreachable\nraise Unreachable('no answer', follows='nothing', remedy='look')",
    )
    done = six.command("run", SERVER)
    assert done.returncode == 1
    assert "no answer" in done.stdout
    assert "To do: look" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    told = json.loads((the_record(six) / "manifest.json").read_text())
    assert [section["verdict"] for section in told["sections"]] == ["as-wanted", "failed", *["not-run"] * 4]


def test_any_other_error_is_one_line_with_where_the_traceback_is(project: Any) -> None:
    project.section("03_configure", "1/0")
    done = project.command("run", SERVER)
    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero (in cell step-1; the traceback is in 03_configure.html)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "division by zero" in (the_record(project) / "03_configure.html").read_text()


def test_a_notebook_that_never_asks_for_a_verdict_is_unknown(project: Any) -> None:
    project.section("03_configure", "1")
    done = project.command("run", SERVER, "--json")
    assert (json.loads(done.stdout)["verdict"], done.returncode) == ("unknown", 1)


def test_a_notebook_that_fails_before_it_opens_its_section_is_in_the_record(project: Any) -> None:
    project.notebook(
        "03_configure", "from mailhost.errors import SheetError\nraise SheetError('wrong', remedy='mend it')"
    )
    done = project.command("run", SERVER)
    assert done.returncode == 1
    assert "To do: mend it" in done.stdout
    assert json.loads((the_record(project) / "manifest.json").read_text())["verdict"] == "failed"


def test_a_kernel_that_dies_leaves_an_interrupted_record(six: Any) -> None:
    six.section("03_configure", "import os; os.kill(os.getpid(), 9)")
    done = six.command("run", SERVER, "--mode", "apply", "--json")
    told = json.loads(done.stdout)
    assert (told["verdict"], done.returncode) == ("interrupted", 1)
    assert [section["verdict"] for section in told["sections"]][2:] == ["interrupted", *["not-run"] * 3]
    assert six.command("verify", told["record"]).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_kernel_and_the_record_says_interrupted(six: Any, number: signal.Signals) -> None:
    mark = six.root / "pid"
    six.section(
        "02_install",
        f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(120)",
    )
    running = six.start("run", SERVER, "--mode", "apply", "--json")
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    told = json.loads(out)
    assert (told["verdict"], running.returncode) == ("interrupted", 1), (told, err)
    assert "Traceback" not in err
    kernel, deadline = Path(f"/proc/{mark.read_text()}"), time.monotonic() + 20
    while kernel.exists() and time.monotonic() < deadline:  # killed, and not yet buried by init on a busy machine
        time.sleep(0.1)
    assert not kernel.exists(), "the kernel is stopped"
    assert six.command("verify", told["record"]).returncode == 0
    assert [section["verdict"] for section in told["sections"]] == ["as-wanted", "interrupted", *["not-run"] * 4]


def test_a_signal_after_a_section_has_closed_stops_the_run_before_the_next_one(six: Any) -> None:
    mark = six.root / "pid"
    six.section(
        "02_install",
        f"""
        import os, signal, time
        close("as-wanted")
        while not (os.path.exists({str(mark)!r}) and open({str(mark)!r}).read()):
            time.sleep(0.05)
        os.kill(int(open({str(mark)!r}).read()), signal.SIGINT)
        """,
    )
    running = six.start("run", SERVER, "--mode", "apply", "--json")
    mark.write_text(str(running.pid))
    out, err = running.communicate(timeout=60)
    told = json.loads(out)
    assert (told["verdict"], running.returncode) == ("interrupted", 1), (told, err)
    assert [section["verdict"] for section in told["sections"]][:2] == ["as-wanted", "as-wanted"]
    assert not (the_record(six) / "03_configure.ipynb").exists()
    assert six.command("verify", told["record"]).returncode == 0


def test_a_run_that_is_killed_is_told_as_interrupted_and_can_be_closed(six: Any) -> None:
    mark = six.root / "pid"
    six.section("02_install", f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(120)")
    running = six.start("run", SERVER)
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    listed = json.loads(six.command("records", "--json").stdout)
    assert (listed[0]["state"], listed[0]["verdict"]) == ("open", "open")
    refused = six.command("close", listed[0]["record"])
    assert (refused.returncode, "still" in refused.stderr) == (1, True)
    running.kill()
    running.communicate()
    os.kill(int(mark.read_text()), signal.SIGKILL)  # it would end by itself within a second
    time.sleep(0.2)
    listed = json.loads(six.command("records", SERVER, "--json").stdout)
    assert (listed[0]["state"], listed[0]["verdict"], listed[0]["digest"]) == ("interrupted", "interrupted", "")
    assert six.command("verify", listed[0]["record"]).returncode == 1
    assert six.command("close", listed[0]["record"]).returncode == 0
    assert six.command("verify", listed[0]["record"]).returncode == 0
    listed = json.loads(six.command("records", "--json").stdout)
    assert (listed[0]["state"], listed[0]["verdict"]) == ("closed", "interrupted")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name: x\nmail_names: [x]\nnonsense: 1\n", "nonsense: unknown key"),
        ("name: x\n", "mail_names: missing"),
        ("name: x\nmail_names: [x]\nssh: {port: 70000}\n", "ssh.port"),
        ("name: x\nmail_names: [x]\nssh: {key: none/there}\n", "no such file"),
        ("name: x\nmail_names: [x]\nssh: {sudo_password: hunter2}\n", "env:NAME"),
        ("name: [\n", "not valid YAML"),
        ("- a\n", "not a sheet"),
    ],
)
def test_a_wrong_sheet_is_one_message_before_any_record(six: Any, content: str, told: str) -> None:
    (six.root / "parameters" / "wrong.yaml").write_text(content)
    done = six.command("run", "wrong", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "wrong.yaml" in done.stderr
    assert "To do:" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert not six.records.exists()


def test_an_unknown_server_is_told_what_there_is(six: Any) -> None:
    done = six.command("run", "mail.exampel.test")
    assert done.returncode == 1
    assert f"did you mean {SERVER}" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        (), ("nonsense",), ("run",), ("run", SERVER, "--mode", "false"), ("run", SERVER, "--nonsense"),
        ("run", SERVER, "--section", "nonsense"), ("run", SERVER, "another"), ("audit",), ("verify",),
        ("records", "add"), ("records", "a", "b"), ("lab", "nonsense"), ("close",), ("init",),
    ],
)  # fmt: skip
def test_wrong_usage_is_64(six: Any, words: tuple[str, ...]) -> None:
    done = six.command(*words)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert not six.records.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_enough_to_work_from(project: Any, command: str) -> None:
    done = project.command(*command.split(), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: runbook")
    assert max(len(line) for line in done.stdout.splitlines()) <= 120
    if command not in ("lab", "records"):
        assert "Example" in done.stdout
        assert (
            f"runbook {command.removesuffix(' list') if command == 'records list' else command}"
            in done.stdout.partition("Example")[2]
        )


def test_the_exit_codes_and_every_command_stand_in_the_help(project: Any) -> None:
    text = project.command("--help").stdout
    for word in ("0 as wanted", "2 changes are pending", "1 anything else", "64 wrong usage", *COMMANDS[:7]):
        assert word in text


def test_the_version_is_told(project: Any) -> None:
    assert re.fullmatch(r"dovecot-runbook \d+\.\d+\.\d+\n", project.command("--version").stdout)


def test_records_are_listed_for_people_and_for_programs(six: Any) -> None:
    assert "no records" in six.command("records").stderr
    digest = re.search(r"digest +(\w+)", six.command("run", SERVER, "--section", "01", "--ticket", "T").stdout)
    assert digest
    listed = six.command("records", SERVER)
    assert digest[1][:12] in listed.stdout
    assert "as-wanted" in listed.stdout
    (row,) = json.loads(six.command("records", "--json").stdout)
    assert (row["digest"], row["ticket"], row["state"], row["sections"]) == (digest[1], "T", "closed", ["01_preflight"])
    assert json.loads(six.command("records", "another", "--json").stdout) == []


def test_verify_says_what_was_changed(six: Any) -> None:
    six.command("run", SERVER, "--section", "01")
    record = the_record(six)
    relative = str(record.relative_to(six.root))
    assert six.command("verify", relative).returncode == 0
    assert six.command("verify", relative, "--digest", "0" * 64).returncode == 1
    (record / "extra").write_text("x")
    done = six.command("verify", relative)
    assert done.returncode == 1
    assert "extra: added" in done.stderr


@pytest.mark.parametrize("words", [("verify", "none"), ("close", "parameters"), ("records", "add", "none", "none")])
def test_what_is_no_record_is_told(project: Any, words: tuple[str, ...]) -> None:
    done = project.command(*words)
    assert done.returncode == 1
    assert "is no record's folder" in done.stderr


def test_init_writes_a_sheet_once(project: Any) -> None:
    example = Path(__file__).resolve().parents[2] / "parameters" / "example.yaml"
    (project.root / "parameters" / "example.yaml").write_text(example.read_text())
    done = project.command("init", "imap.example.net")
    assert done.returncode == 0
    written = project.root / "parameters" / "imap.example.net.yaml"
    assert "name: imap.example.net\n" in written.read_text()
    assert "mail.example.org" not in written.read_text()
    again = project.command("init", "imap.example.net")
    assert again.returncode == 1
    assert "exists already" in again.stderr


@pytest.mark.parametrize("name", ["../up", "a/b", "a b", "example", "x.yaml", "$(id)"])
def test_init_refuses_a_name_that_is_no_host(project: Any, name: str) -> None:
    before = sorted(path.name for path in (project.root / "parameters").iterdir())
    done = project.command("init", name)
    assert done.returncode == 1
    assert "cannot name" in done.stderr
    assert sorted(path.name for path in (project.root / "parameters").iterdir()) == before


def test_open_prepares_copies_and_leaves_the_exemplars_clean(six: Any) -> None:
    before = {path: path.read_bytes() for path in (six.root / "notebooks").iterdir()}
    done = six.command("open", SERVER, "--no-lab", "--mode", "apply", "--ticket", "T-1")
    assert done.returncode == 0, done.stderr
    record = the_record(six)
    text = (record / "03_configure.ipynb").read_text()
    assert 'mode = \\"apply\\"' in text
    assert str(record) in text
    assert {path: path.read_bytes() for path in (six.root / "notebooks").iterdir()} == before
    closed = six.command("close", str(record))
    assert closed.returncode == 0, closed.stderr
    assert "runbook close" in done.stderr


def test_a_defect_of_ours_is_one_line_and_the_traceback_is_kept(project: Any) -> None:
    (project.root / "parameters" / "example.yaml").mkdir()
    done = project.command("init", "imap.example.net")
    assert done.returncode == 1
    kept = re.search(r"the traceback is in (\S+)", done.stderr)
    assert kept
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" in Path(kept[1]).read_text()
    Path(kept[1]).unlink()
