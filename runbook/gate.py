"""The blocking conditions of preflight, for a section that is applied by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailhost.checks import existing, preflight, surroundings, users
from mailhost.checks.certificate import certificate
from mailhost.facts import disk, listeners, packages
from mailhost.facts import users as people
from mailhost.finding import Finding
from mailhost.query import look

if TYPE_CHECKING:
    from runbook.session import Run


def findings(run: Run) -> list[Finding]:
    """Whatever in preflight would be a no-go, read anew in one round trip; the rest is section 01's to tell."""
    room, offered, ports, known = look(
        run.host, run.want, run.family, disk.query, packages.query, listeners.query, people.query
    )
    want = run.want
    found = [
        *preflight.system(run.system, want),
        *preflight.disk(room),
        *preflight.packages(offered, run.system),
        *existing.expressible(offered, run.system, want, run.family),
        *surroundings.ports(ports, want),
        *users.users(known, want),
        *certificate(run.given, want, run.now),
    ]
    return [finding for finding in found if finding.blocking]
