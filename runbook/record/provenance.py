"""What ran: the runbook's git commit and the versions of the packages that it stands on."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

_HERE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class GitState:
    """The commit that the code comes from; ``modified`` is None where it cannot be known (no git, no checkout)."""

    commit: str | None
    modified: bool | None


@cache
def git_state() -> GitState:
    """The runbook's own commit, and whether its files differ from it."""
    status = _git("status", "--porcelain=v2", "--branch", "--untracked-files=normal")
    if status is None:
        return GitState(None, None)
    oid = re.search(r"^# branch\.oid ([0-9a-f]{40,64})$", status, re.MULTILINE)
    changed = any(line and not line.startswith("#") for line in status.splitlines())
    return GitState(oid.group(1) if oid else None, changed)


@cache
def versions() -> dict[str, str]:
    """The runbook's own version, Python's, and that of each package that it requires itself."""
    known = {"python": platform.python_version()}
    try:
        own = metadata.distribution("dovecot-runbook")
    except metadata.PackageNotFoundError:
        return known
    known["dovecot-runbook"] = own.version
    for requirement in own.requires or ():
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            known[name] = "missing"
    return known


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            # git refuses a checkout of another owner, as root's cron job finds it
            ["git", "-C", str(_HERE), "-c", f"safe.directory={_HERE}", *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
