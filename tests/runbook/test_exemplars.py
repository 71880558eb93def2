"""JupyterLab's own contents manager saves the notebooks under notebooks/ without outputs, and records' copies with."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager

from runbook import exemplars


def executed() -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell("1 + 1", execution_count=3)
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=3)]
    return nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("prose")])


@pytest.mark.parametrize(("folder", "outputs"), [("notebooks", 0), ("records", 1)])
def test_what_jupyterlab_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, outputs: int):
    for name in ("notebooks", "records"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(exemplars, "_FOLDER", tmp_path / "notebooks")
    manager = LargeFileManager(root_dir=str(tmp_path), pre_save_hook="runbook.exemplars.clean")
    manager.save({"type": "notebook", "format": "json", "content": executed()}, f"{folder}/01.ipynb")
    saved = nbformat.read(tmp_path / folder / "01.ipynb", as_version=4)
    assert len(saved.cells[0].outputs) == outputs
    assert saved.cells[0].source == "1 + 1"
