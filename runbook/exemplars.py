"""Keeps the notebooks under notebooks/ clean when JupyterLab saves them: outputs belong to records.

`make lab` names `clean` as Jupyter's ``pre_save_hook``. What a person sees in the browser stays there; only the
file is spared. Copies inside a record (`runbook open`) are saved as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[1] / "notebooks"


def clean(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Take outputs and counts out of an exemplar before it is written."""
    where = (Path(contents_manager.root_dir) / path.lstrip("/")).resolve()
    if model["type"] != "notebook" or model["content"] is None or where.parent != _FOLDER:
        return
    for cell in model["content"]["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
            cell["metadata"].pop("execution", None)
