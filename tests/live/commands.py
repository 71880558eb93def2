"""The command `runbook` as tests run it: as a process of its own, in the test's process, or in one that waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Executor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook import lab
from runbook.__main__ import main
from runbook.record import Record, listing

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Told:
    """How the command ended and what it said."""

    rc: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Product:
    """The command `runbook`, with records in a folder of the test's own."""

    folder: Path

    @staticmethod
    def environment(extra: dict[str, str]) -> dict[str, str]:
        return {**os.environ, **extra}

    def command(self, *words: str, **environment: str) -> Told:
        done = subprocess.run(
            [sys.executable, "-m", "runbook", *words],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=400, env=self.environment(environment),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Told(done.returncode, done.stdout, done.stderr)

    def run(self, server: str | Path, *words: str, **environment: str) -> Told:
        return self.command("run", str(server), "--records", str(self.folder), *words, **environment)

    def audit(self, server: str | Path, *words: str, **environment: str) -> Told:
        return self.command("audit", str(server), "--records", str(self.folder), *words, **environment)

    def start(self, server: str | Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "runbook", "run", str(server), "--records", str(self.folder), *words],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def records(self, server: str) -> list[Record]:
        return listing(self.folder, server)

    def last(self, server: str) -> Record:
        return self.records(server)[-1]

    def sheet(self, server: lab.Server, label: str, /, *, without: tuple[str, ...] = (), **changed: Any) -> Path:
        """A server's sheet with some keys changed, in a file of its own."""
        values = yaml.safe_load(server.sheet.read_text()) | changed
        path = self.folder / f"{server.name}-{label}.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in values.items() if key not in without}))
        return path


@dataclass(frozen=True)
class Within(Product):
    """The same in the test's own process, which has made its imports: the command spends two seconds on them."""

    def command(self, *words: str, **environment: str) -> Told:
        out, err = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(ROOT)
            for name, value in environment.items():
                patch.setenv(name, value)
            rc = main(words)
        return Told(rc, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Waiting(Product):
    """The same in processes that have made their imports and wait for the next command: for several at a time."""

    pool: Executor

    def command(self, *words: str, **environment: str) -> Told:
        return self.pool.submit(Within(self.folder).command, *words, **environment).result()
