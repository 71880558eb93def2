"""Throw-away servers for the demo and the tests: real systemd, sshd, package manager and firewall, in containers.

``up`` starts one from nothing, ``down`` leaves nothing behind but built images. They are reached as any other
server is: by SSH, at an address of their own, with the sheet that the lab has written.
"""

from __future__ import annotations

from runbook.lab.authority import Issued, issue
from runbook.lab.errors import LabError
from runbook.lab.images import SYSTEMS
from runbook.lab.lifecycle import down, find, restart, servers, up
from runbook.lab.place import DOMAIN
from runbook.lab.podman import Ran
from runbook.lab.requirements import available
from runbook.lab.server import Server, run
from runbook.lab.variants import VARIANTS

__all__ = [
    "DOMAIN",
    "SYSTEMS",
    "VARIANTS",
    "Issued",
    "LabError",
    "Ran",
    "Server",
    "available",
    "down",
    "find",
    "issue",
    "restart",
    "run",
    "servers",
    "up",
]
