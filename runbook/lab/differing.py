"""Makes a started server what its variant says."""

from __future__ import annotations

import secrets
from typing import Any

from runbook.lab import podman
from runbook.lab.errors import LabError
from runbook.lab.server import Server
from runbook.lab.variants import CUT_OFF, Variant, filled

_PASSWORD = "sudo-password"  # noqa: S105 - a file's name


def lay(server: Server, variant: Variant) -> dict[str, Any]:
    """Run the variant's script on the server; returns what it lays over the sheet."""
    if variant.script:
        word = secrets.token_urlsafe(18)
        if "$1" in variant.script:
            file = server.folder / _PASSWORD
            file.touch(mode=0o600)
            file.write_text(f"{word}\n")
        flags = ["--privileged"] if variant.privileged else []
        _run(server, variant.script, word, flags=flags)
    return filled(variant.sheet, server.folder)


def cut_off(server: Server, addresses: tuple[str, str]) -> None:
    """Let the server be reached by its neighbours only, not from ``addresses``, those of the machine under it."""
    _run(server, CUT_OFF, *addresses)


def _run(server: Server, script: str, *words: str, flags: list[str] | None = None) -> None:
    done = podman.attempt("exec", *(flags or []), server.container, "sh", "-c", script, "sh", *words)
    if done.rc != 0:
        # not the words: one may be a password
        raise LabError(f"on the lab server {server.name} `{script}` ended with {done.rc}: {done.err.strip()[-500:]}")
