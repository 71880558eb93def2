"""What a machine needs before the lab can run on it."""

from __future__ import annotations

import os
import sys

from runbook.lab import podman

_OWN_SERVER = (
    "The runbook itself needs no lab: write a sheet for a server of your own with `runbook init SERVER`, "
    "then `runbook run SERVER`."
)


def available() -> str | None:
    """None where lab servers can be started here, else one line: what is missing and what to do instead."""
    if not sys.platform.startswith("linux"):
        return f"Lab servers are Linux containers, and this machine runs {sys.platform}. {_OWN_SERVER}"
    if os.geteuid() != 0:
        return f"Lab servers get addresses of their own, which takes root: call it by root or sudo. {_OWN_SERVER}"
    if podman.which("podman") is None:
        return f"podman is missing: `make lab-packages` installs it on Debian and Ubuntu. {_OWN_SERVER}"
    return None
