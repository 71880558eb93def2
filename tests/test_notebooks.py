"""The grammar of a notebook: a thin, linear view, one step a cell, the same parameters in all of them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mailhost import sheet
from runbook import parameters, sections
from runbook.spared import costly_imports

ROOT = Path(__file__).parents[1]
ALL = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECTIONS = [path for path in ALL if not path.name.startswith("00")]
NAMES = {path: path.stem for path in ALL}
# What would be a decision, or hidden, in a cell that should be one step.
NOT_LINEAR = (
    ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.With, ast.Match, ast.FunctionDef, ast.AsyncFunctionDef,
    ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Assert, ast.Delete,
    ast.NamedExpr, ast.Global, ast.Await,
)  # fmt: skip
WITHOUT_OK = {"parameters", "verdict", "servers", "account", "since"}

each = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
each_section = pytest.mark.parametrize("path", SECTIONS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def code(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def steps(path: Path) -> list[Any]:
    """The code cells between the start and the verdict."""
    return [cell for cell in code(path) if cell.id not in ("parameters", "start", "verdict")]


def calls(source: str) -> list[str]:
    """The methods of `run` that a cell calls, by name."""
    return [
        node.func.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and getattr(node.func.value, "id", "") == "run"
    ]


def test_there_is_one_for_each_section() -> None:
    assert [path.stem for path in ALL] == [
        "00_start_here", "01_preflight", "02_install", "03_configure", "04_test", "05_secure", "06_audit",
        "07_renew_certificate",
    ]  # fmt: skip


@each
def test_it_is_valid(path: Path) -> None:
    nbformat.validate(json.loads(path.read_text(encoding="utf-8")))  # type: ignore[no-untyped-call]


@each
def test_cells_have_readable_ids_and_nothing_of_a_run(path: Path) -> None:
    cells = read(path).cells
    assert len({cell.id for cell in cells}) == len(cells)
    for cell in cells:
        assert re.fullmatch(r"[a-z]+(?:-[a-z]+)*", cell.id), cell.id
        assert cell.source.strip(), cell.id
        assert set(cell.metadata) <= {"tags"}, cell.id
        if cell.cell_type == "code":
            assert cell.outputs == [], cell.id
            assert cell.execution_count is None, cell.id


@each
def test_metadata_name_no_machine(path: Path) -> None:
    assert set(read(path).metadata) == {"kernelspec", "language_info"}
    assert set(read(path).metadata.language_info) == {"name"}


@each
def test_every_code_cell_has_its_prose(path: Path) -> None:
    """A heading that is a condition, then prose, then code; a plan, its apply and their check share one heading."""
    cells = read(path).cells
    assert cells[0].source.startswith("# ")
    said = None
    for before, cell in pairwise(cells):
        if cell.cell_type == "markdown":
            assert re.match(r"## \S", cell.source), cell.id
            assert before.cell_type == "code" or before.id == "title", f"two texts, one after the other: {cell.id}"
            said = cell
            continue
        assert said is not None, cell.id
        if before.cell_type == "markdown" and cell.id != "words":
            assert before.id.removesuffix("-intro") in (cell.id, "login") or before.id == "title", cell.id
        if cell.id not in WITHOUT_OK:
            assert re.search(r"\bOK if\b", said.source), f"{cell.id}: nobody knows when it is well"


@each
def test_code_is_linear(path: Path) -> None:
    for cell in code(path):
        found = [type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, NOT_LINEAR)]
        assert not found, f"{cell.id}: {found}"


@each
def test_code_has_no_magic_and_no_secret_handling(path: Path) -> None:
    for cell in code(path):
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE), cell.id
        assert not re.search(r"\b(?:getpass|input|eval|exec|open|print)\(", cell.source), cell.id


@each_section
def test_one_step_a_cell(path: Path) -> None:
    """One change or one judgement in a cell, and what it looks at for it."""
    for cell in steps(path):
        made = calls(cell.source)
        for name in ("plan", "apply", "check", "account", "since_last", "verdict", "gather"):
            assert made.count(name) <= 1, f"{cell.id}: {name} twice"
        assert sum(name in ("plan", "apply", "check", "account", "since_last") for name in made) <= 1, cell.id
        assert made.count("probe") <= 1, cell.id
        assert len(ast.parse(cell.source).body) <= 4, f"{cell.id}: more than a step"
        assert made, f"{cell.id}: no step at all"


@each_section
def test_every_plan_is_applied_by_the_next_cell(path: Path) -> None:
    cells = code(path)
    for cell, after in pairwise(cells):
        assert ("plan" in calls(cell.source)) == ("apply" in calls(after.source)), cell.id


@each_section
def test_it_starts_as_itself_and_ends_with_the_verdict(path: Path) -> None:
    cells = code(path)
    assert [cell.id for cell in cells[:2]] == ["parameters", "start"]
    assert cells[1].source.splitlines()[-1] == f'run = session.start("{path.stem}", globals())'
    assert cells[-1].id == "verdict"
    assert cells[-1].source == "run.verdict()"
    assert [cell.id for cell in cells if "run.verdict()" in cell.source] == ["verdict"]


@pytest.mark.parametrize("stem", ["01_preflight", "06_audit"])
def test_what_only_reads_plans_and_applies_nothing(stem: str) -> None:
    for cell in code(ROOT / "notebooks" / f"{stem}.ipynb"):
        assert not {"plan", "apply"} & set(calls(cell.source)), cell.id


def test_the_parameters_are_the_same_everywhere() -> None:
    texts = set()
    for path in SECTIONS:
        tagged = [cell for cell in code(path) if "parameters" in cell.metadata.get("tags", ())]
        assert [cell.id for cell in tagged] == ["parameters"], path.stem
        texts.add(tagged[0].source)
    assert len(texts) == 1


def test_the_parameters_are_the_runs_own_and_the_sheets() -> None:
    (cell,) = [cell for cell in code(SECTIONS[0]) if cell.id == "parameters"]
    body = ast.parse(cell.source).body
    assert all(isinstance(node, ast.AnnAssign) for node in body)
    names = [node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    assert set(names) == {*parameters.OWN, *sheet.KEYS}
    assert len(names) == len(set(names))
    defaults = {name: ast.literal_eval(node.value) for name, node in zip(names, body, strict=True)}  # type: ignore[attr-defined]
    assert {name: value for name, value in defaults.items() if value is not None} == {
        "mode": "plan",
        "canary": False,
        "thorough": False,
    }


@each_section
def test_papermill_documents_every_parameter(path: Path) -> None:
    with costly_imports():
        from papermill.inspection import _infer_parameters
        from papermill.iorw import load_notebook_node
    found = _infer_parameters(load_notebook_node(str(path)))  # type: ignore[no-untyped-call]
    assert {item.name for item in found} == {*parameters.OWN, *sheet.KEYS}
    for item in found:
        assert item.inferred_type_name in ("str", "bool", "int", "list", "dict"), item
        assert len(item.help.split()) > 1, item
        assert "#" not in item.default, item


@each
def test_links_lead_somewhere(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)]+)\)", cell.source):
                assert (path.parent / target).is_file(), f"{cell.id}: {target}"


def test_the_first_one_links_to_all_others() -> None:
    text = "".join(cell.source for cell in read(ALL[0]).cells)
    assert {path.name for path in SECTIONS} == set(re.findall(r"\]\((\d\d_\w+\.ipynb)\)", text))


@each_section
def test_the_heading_is_what_progress_and_records_tell(path: Path) -> None:
    assert sections.heading(path) == read(path).cells[0].source.splitlines()[0].removeprefix("# ")


def test_ruff_has_nothing_to_say() -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "notebooks"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
