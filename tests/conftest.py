"""Real servers for the live tests, in a lab of the tests' own, so that a demo beside them is not disturbed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("DOVECOT_RUNBOOK_LAB", str(ROOT / ".lab-tests"))

from runbook import lab  # noqa: E402  # reads the variable above

Up = Callable[..., lab.Server]


@pytest.fixture(scope="module")
def lab_up() -> Iterator[Up]:
    """Start fresh servers; each is gone with its module's tests: many systemds at once use up the kernel's inotify."""
    started: list[str] = []

    def up(system: str = "debian12", **keywords: Any) -> lab.Server:
        server = lab.up(f"t{uuid.uuid4().hex[:8]}", system, **keywords)
        started.append(server.name)
        return server

    yield up
    lab.down([name for name in started if lab.find(name)])


@pytest.fixture(scope="module")
def bare(lab_up: Up) -> lab.Server:
    """A Debian 12 server without Dovecot, which tests only read or put back as it was."""
    return lab_up("debian12")


# Files that take minutes, the longest first: what comes last must not keep one worker busy alone.
LONG = (
    "contract", "mutations", "mutations_further", "mutations_elsewhere", "brown_field", "interrupted", "run", "acme",
    "papermill", "sheets", "upgrade", "renewal", "dovecot_judges", "bad_input", "jupyterlab", "changes", "layout",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a server is a live test."""
    for item in items:
        if {"lab_up", "bare"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.live)
    items.sort(key=lambda item: LONG.index(name) if (name := item.path.stem[len("test_") :]) in LONG else len(LONG))
