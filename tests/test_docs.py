"""Documentation is held to the code: commands, options, parameters, findings, exit codes and targets."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer

from mailhost import sheet
from mailhost.finding import SEVERITY_ORDER
from runbook import parameters, summary
from runbook.__main__ import app
from runbook.commands.shape import USAGE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHECKS = sorted((ROOT / "lib/mailhost/checks").rglob("*.py"))
SOURCES = [*CHECKS, *sorted((ROOT / "runbook").glob("*.py"))]
# Called with a finding's id as the first text among their arguments.
MAKERS = {"Finding", "judged", "skipped", "_finding", "_unknown", "_judge", "_service", "_absent", "Entry", "_rejected"}
ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def texts(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def id_of(call: ast.Call) -> str | None:
    """The id that a call gives a finding; None where it hands on one that it was given."""
    first = next((item.value for item in call.keywords if item.arg == "id"), None)
    if first is None:
        named = [arg for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        first = named[0] if named else None
    if isinstance(first, ast.JoinedStr):  # f"port-{expected}" in reach: both are named here
        return None
    return first.value if isinstance(first, ast.Constant) and ID.fullmatch(str(first.value)) else None


def findings_in_source() -> dict[str, set[str]]:
    """Each finding's id, with the severities that stand beside it; none where the maker's default holds."""
    found: dict[str, set[str]] = defaultdict(set)
    statuses = {"pass", "fail", "skip", "unknown", "open", "closed"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
                name = id_of(node)
                if name and name not in statuses:
                    given = [k.value for k in node.keywords if k.arg == "severity"]
                    positional = [a.value for a in node.args if isinstance(a, ast.Constant)]
                    words = {*(t for value in given for t in texts(value)), *positional}
                    found[name] |= {word for word in words if isinstance(word, str) and word in SEVERITY_ORDER}
            elif isinstance(node, ast.Assign) and ast.unparse(node).startswith("finding = ("):
                found[texts(node.value)[0]] |= set()  # finding = ("an-id", "its title"), handed on as *finding
    return dict(found) | {"port-open": {"high"}, "port-closed": {"high"}}


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, cells without their back-quotes."""
    body = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells[2:] if row[0] != "---"]


def commands() -> dict[str, Any]:
    """Every command of `runbook` by the words that call it, with its click object."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, (*words, name))
        else:
            found[" ".join(words)] = command

    walk(typer.main.get_command(app), ())
    return found


def test_every_finding_is_listed_and_no_other() -> None:
    assert {row[0] for row in table("Findings")} == set(findings_in_source())


def test_findings_are_listed_with_their_title_and_severity() -> None:
    source = " ".join(" ".join(texts(ast.parse(path.read_text(encoding="utf-8")))) for path in SOURCES)
    known = findings_in_source()
    for name, title, severity, sections in table("Findings"):
        assert severity in SEVERITY_ORDER, name
        assert not known[name] or severity in known[name] | {"medium"}, name
        for part in re.split(r"SECTION|SETTING|SERVICE is (?:open|closed)", title):
            assert part.strip() in source, f"{name}: {title!r} is not in the source"
        assert re.fullmatch(r"0[1-7](?:, 0[1-7])*", sections), name


def test_findings_stand_in_the_order_of_the_alphabet() -> None:
    names = [row[0] for row in table("Findings")]
    assert names == sorted(names)


def keys_of(model: Any, before: str = "") -> list[str]:
    """Every key of a sheet, those of its parts with a dot."""
    found = []
    for name, field in model.model_fields.items():
        found.append(before + name)
        for part in (sheet.Ssh, sheet.Tls, sheet.Firewall, sheet.TestAccount):
            if part.__name__ in repr(field.annotation):
                found += keys_of(part, f"{before}{name}.")
    return found


def test_every_key_of_a_sheet_is_listed_in_its_order() -> None:
    listed = [row[0] for row in table("The sheet") if row[0] not in {*parameters.OWN, "parameter"}]
    assert listed == keys_of(sheet.Sheet)


@pytest.mark.parametrize(
    ("key", "default"),
    [("ssh.port", "22"), ("ssh.connect_timeout", "15"), ("failed_logins", "4"), ("tls.minimum", "TLSv1.2")],
)
def test_defaults_of_the_sheet_are_the_codes(key: str, default: str) -> None:
    model, _, name = key.rpartition(".")
    owner = {"": sheet.Sheet, "ssh": sheet.Ssh, "tls": sheet.Tls}[model]
    assert str(owner.model_fields[name].default) == default
    assert [row[2] for row in table("The sheet") if row[0] == key] == [default]


def test_every_parameter_of_a_notebook_is_listed() -> None:
    listed = [row[0] for row in table("The sheet")]
    assert set(parameters.OWN) <= set(listed)


def test_every_command_is_in_the_readme() -> None:
    for words in commands():
        asked = "records" if words == "records list" else words  # its short form
        assert f"runbook {asked}" in README, words


def test_every_option_says_what_it_is_for() -> None:
    for words, command in commands().items():
        for parameter in command.params:
            assert parameter.help or parameter.param_type_name == "argument" or parameter.name == "help", (
                f"{words} {parameter.opts}"
            )


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    known = commands()
    for line in re.findall(
        r"(?:^    +|`|&& \.venv/bin/)(?:\.venv/bin/)?runbook ([a-z][^`#\n|]*)", README, re.MULTILINE
    ):
        words = line.split()
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in known), None)
        name = name or ("records list" if words[0] == "records" else None)
        assert name, f"runbook {line}"
        options = {
            option for parameter in known[name].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        used = set(re.findall(r"--[a-z-]+", line))
        assert used <= options | {"--help"}, f"runbook {line}"


def test_exit_codes_are_the_codes() -> None:
    listed = {row[0]: int(row[2]) for row in table("Modes, verdicts, exit codes")}
    assert set(listed) == {"as-wanted", "pending", "failed", "unknown", "no-go", "interrupted"}
    assert all(summary.exit_code(verdict) == code for verdict, code in listed.items())
    assert f"exits {USAGE}" in README


def test_make_targets_are_the_makefiles() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {row[0].removeprefix("make ") for row in table("Development")} == targets
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_the_two_commands_come_first() -> None:
    commands_first = [line.split("#")[0].split() for line in README.splitlines() if line.startswith("    ")][:2]
    assert commands_first == [["make", "demo"], ["make", "test"]]


def test_every_notebook_is_listed() -> None:
    listed = [row[0] for row in table("The sections")]
    assert listed == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_files_and_headings_that_the_readme_points_to_are_there() -> None:
    titles = re.findall(r"^## (.+)$", README, re.MULTILINE)
    headings = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target[1:] in headings if target.startswith("#") else (ROOT / target).is_file(), target
    for path in re.findall(r"`((?:tests|parameters|notebooks|lib|\.ci)/[\w./-]+)`", README):
        if path != "parameters/mail.example.org.yaml":  # made by the step beside it
            assert (ROOT / path).exists(), path


def test_the_picture_is_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "docs").iterdir()) < 200_000


def test_a_stand_in_is_called_one() -> None:
    assert "**stand-in**" in README


def test_the_changelog_has_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog\n")
    assert "\n## [Unreleased]\n" in text
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
