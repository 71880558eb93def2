"""Every finding that the source can make has a row in the table of broken servers, and every row a finding."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [*sorted((ROOT / "lib/mailhost/checks").rglob("*.py")), *sorted((ROOT / "runbook").glob("*.py"))]
_ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

# Calls whose argument is a finding's id, and at which place it stands when it has no name.
_MAKERS = {
    "Finding": 0,
    "judged": 1,
    "skipped": 0,
    "_finding": 0,
    "_unknown": 0,
    "_absent": 0,
    "_judge": 1,
    "_service": 0,
    "Entry": 99,  # of the benchmark: named, or measured by others
    "_rejected": 0,
}


def ids(source: str) -> set[str]:
    """The ids of the findings that a module makes; one that is put together from parts is told in full here."""
    return {text for node in ast.walk(ast.parse(source)) for text in _ids_of(node)}


def _ids_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKERS:
        place = _MAKERS[node.func.id]
        given = [k.value for k in node.keywords if k.arg == "id"] or node.args[place : place + 1]
        for value in given:
            if isinstance(value, ast.Starred):
                continue  # a pair of id and title, found by the assignment below
            if isinstance(value, ast.JoinedStr):
                yield from (f"{_text(value)}{end}" for end in ("open", "closed") if _text(value))
            elif _text(value):
                yield _text(value)
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if names == ["finding"]:
            yield _text(node.value.elts[0])


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        node = node.values[0]
    return str(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "tests/live/mutations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known() -> set[str]:
    return {name for source in SOURCES for name in ids(source.read_text())}


def test_every_finding_has_a_row(known: set[str], table: ModuleType):
    assert known - {row.id for row in table.ROWS} == set()


def test_every_row_is_about_a_finding(known: set[str], table: ModuleType):
    assert {row.id for row in table.ROWS} - known == set()


def test_what_is_captured_is_tested(table: ModuleType):
    for row in table.ROWS:
        if row.captured:
            file, name = row.captured
            body = ast.parse((ROOT / "tests" / file).read_text()).body
            assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}, row.id


def test_the_readme_lists_what_is_captured(table: ModuleType):
    readme = (ROOT / "README.md").read_text()
    assert [row.id for row in table.ROWS if row.captured and f"`{row.id}`" not in readme] == []


def test_every_live_row_breaks_something(table: ModuleType):
    for row in table.LIVE:
        assert row.breaks or row.sheet or row.issue is not None or row.canary or row.kept, row.id
        assert bool(row.breaks) == bool(row.mends), row.id


def test_no_id_escapes_the_reading_of_the_source(known: set[str]):
    """Whatever looks like an id and stands where a title could be looked up by it is known, too."""
    assert all(_ID.fullmatch(name) for name in known)
    assert len(known) > 50
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "_TITLES" for t in node.targets
            ):
                assert isinstance(node.value, ast.Dict)
                assert {_text(key) for key in node.value.keys if key is not None} <= known
