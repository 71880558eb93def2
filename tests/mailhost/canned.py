"""What servers said, given to a fact's reader as if it had just been said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mailhost import sheet
from mailhost.families import DEBIAN, Family
from mailhost.host import Result
from mailhost.query import Query

SAMPLES = Path(__file__).parents[1] / "samples"


def want(**values: Any) -> sheet.Sheet:
    """A sheet with what a test needs to say."""
    return sheet.from_mapping(
        {"name": "mail.example.test", "mail_names": ["mail.example.test"]} | values, base=Path("/"), source="test"
    )


def sample(name: str) -> Path:
    return SAMPLES / f"{name}.txt"


def answer(query: Query[Any], family: Family = DEBIAN, **outputs: str | tuple[Any, ...]) -> Any:
    """The fact that a query reads from these outputs: texts, or (exit code, stdout[, stderr])."""
    commands = query.commands(want(), family)
    assert set(commands) == set(outputs)
    results = {}
    for n, (name, said) in enumerate(outputs.items(), 1):
        code, stdout, stderr = (0, said, "") if isinstance(said, str) else (*said, "", "")[:3]
        results[name] = Result(commands[name], code, stdout, stderr, n)
    return query.read(results)
