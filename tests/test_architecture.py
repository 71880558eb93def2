"""The shape of the code, held over syntax trees: who may import whom, and what stands in no file."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAILHOST = sorted((ROOT / "lib/mailhost").rglob("*.py"))
RUNBOOK = sorted((ROOT / "runbook").rglob("*.py"))
# Values in, values out: these hold no connection.
PURE = [path for path in MAILHOST if path.parent.name in ("operations", "checks", "benchmark", "parse", "dovecot")]

# From the bottom of the list in mailhost's docstring to the top: a layer imports those that stand before it.
LAYERS = (
    "errors", "redact", "policy", "families", "finding", "transcript", "prompt", "sheet", "acme", "names",
    "pki", "given", "known_hosts", "ways", "host", "accounts", "query", "parse", "dovecot", "facts", "changes",
    "operations", "probes", "checks",
)  # fmt: skip
# Each of these libraries is at home in one module; runbook.lab is the tests' own and no part of a run.
ONLY_IN = {
    "fabric": ("lib/mailhost/host.py",),
    "paramiko": ("lib/mailhost/host.py", "lib/mailhost/ways.py"),
    "invoke": ("lib/mailhost/host.py",),
    "papermill": ("runbook/engine.py",),
    "nbclient": ("runbook/engine.py",),
    "IPython": ("runbook/tables.py",),
    "pandas": ("runbook/tables.py", "runbook/forking.py"),
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def for_types(module: ast.Module) -> set[ast.AST]:
    """What stands under `if TYPE_CHECKING:` runs never."""
    blocks = [n for n in ast.walk(module) if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(module: ast.Module, *, types: bool = False) -> Iterator[str]:
    """The full name of each module that is imported, `from package import name` as package.name."""
    left_out = set() if types else for_types(module)
    for node in ast.walk(module):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def heads(module: ast.Module, *, types: bool = False) -> set[str]:
    """The packages that are imported, by their first name."""
    return {name.split(".")[0] for name in imports(module, types=types)}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_at_home_in_one_module(library: str) -> None:
    users = {relative(path) for path in [*MAILHOST, *RUNBOOK] if library in heads(tree(path))}
    assert users <= set(ONLY_IN[library])


def test_mailhost_knows_nothing_of_notebooks() -> None:
    for path in MAILHOST:
        strangers = {"runbook", "nbformat", "nbconvert", "papermill", "IPython", "pandas"}
        assert not heads(tree(path), types=True) & strangers, relative(path)


def test_nobody_imports_lib() -> None:
    for path in [*MAILHOST, *RUNBOOK, *(ROOT / "tests").rglob("*.py")]:
        assert "lib" not in heads(tree(path), types=True), relative(path)


def test_inside_mailhost_imports_point_one_way() -> None:
    assert {part.stem if part.is_file() else part.name for part in (ROOT / "lib/mailhost").iterdir() if
            part.name not in ("__init__.py", "__pycache__", "py.typed")} == set(LAYERS)  # fmt: skip
    for path in MAILHOST:
        layer = path.relative_to(ROOT / "lib/mailhost").parts[0].removesuffix(".py")
        if layer == "__init__":
            continue
        for name in imports(tree(path)):
            if name.startswith("mailhost."):
                other = name.split(".")[1]
                assert LAYERS.index(other) <= LAYERS.index(layer), f"{relative(path)} imports {name}"


def test_what_decides_and_judges_holds_no_server() -> None:
    allowed = {"Command", "Result", "cmd", "sh"}
    for path in PURE:
        for name in imports(tree(path), types=True):
            if name == "mailhost.host" or name.startswith("mailhost.host."):
                assert name.removeprefix("mailhost.host.") in allowed, f"{relative(path)} imports {name}"


def test_no_function_that_decides_or_judges_takes_a_server() -> None:
    for path in PURE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                    named = ast.unparse(argument.annotation) if argument.annotation else ""
                    assert not re.search(r"\bHost\b|\bConnection\b", named), f"{relative(path)}:{node.lineno}"
                    assert argument.arg != "host", f"{relative(path)}:{node.lineno}"


def test_what_decides_and_judges_does_nothing() -> None:
    effects = {"subprocess", "socket", "ssl", "os", "shutil", "requests", "urllib", "time"}
    for path in PURE:
        found = heads(tree(path)) & effects
        assert not found, f"{relative(path)} imports {found}"


def test_facts_and_checks_make_no_change() -> None:
    for path in MAILHOST:
        if path.parent.name in ("facts", "checks", "benchmark", "probes", "parse"):
            assert not any(n.startswith("mailhost.changes") for n in imports(tree(path), types=True)), relative(path)


def test_notebooks_import_the_library_by_its_name() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                known = {"mailhost", "runbook"}
                assert heads(ast.parse("".join(cell["source"]))) <= known, f"{path.name} {cell['id']}"


def test_the_lab_is_no_part_of_a_run() -> None:
    """A server of one's own needs neither podman nor root: nothing imports the lab before it is asked for."""
    for path in RUNBOOK:
        if not relative(path).startswith("runbook/lab/"):
            statements = [node for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
            at_once = ast.Module(list(statements), [])
            assert not {name for name in imports(at_once) if name.startswith("runbook.lab")}, relative(path)


def test_nothing_is_passed_over_in_silence() -> None:
    for path in [*MAILHOST, *RUNBOOK]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                where = f"{relative(path)}:{node.lineno}"
                assert node.type is not None, f"{where}: a bare except"
                broad = ast.unparse(node.type) in ("Exception", "BaseException", "OSError", "MailhostError")
                assert not (broad and all(isinstance(s, ast.Pass) for s in node.body)), where


def files_of_the_repository() -> list[Path]:
    """What git knows or would take in; without git, all but what is made."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        listed = [ROOT / name for name in done.stdout.splitlines()]
    else:
        made = {".venv", ".lab", "records", "__pycache__", ".git"}
        listed = [path for path in ROOT.rglob("*") if not made & set(path.parts)]
    return [path for path in listed if path.is_file() and path.suffix != ".png"]


# Written in parts, so that this file does not find itself.
FORBIDDEN = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE" + r" KEY-----\n(?!\.\.\.)[A-Za-z0-9+/=]{20}",
    "a path of somebody's machine": r"(?<![\w.])/(?:work/(?:main|shared)|home/[a-z]+/(?:src|git)|Users/[a-z]+)" + "/",
    "a package index": r"(?:--(?:extra-)?index-url|index-url\s*=)\s*\S*https?:" + "//",
    "a registry's host": r"\b(?:files\.pythonhosted|pypi|registry\.npmjs|repo\.anaconda|(?:deb|security)\.debian)\.org"
    r"\b|\bquay\.io"
    "/",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    found = []
    for path in files_of_the_repository():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{relative(path)}: {match[0][:60]!r}" for match in re.finditer(FORBIDDEN[what], text)]
    assert not found, "\n".join(found)
