"""From no Dovecot to an installed one that starts with the server, and does not run before it is configured."""

from __future__ import annotations

from mailhost.changes import Change, EnableUnit, InstallPackages, UnmaskUnit
from mailhost.facts.packages import Packages
from mailhost.facts.service import Service
from mailhost.families import Family
from mailhost.sheet import Sheet


def install(packages: Packages, service: Service, want: Sheet, family: Family) -> list[Change]:
    """Install what the sheet's protocols need, take a mask off, have the unit start with the server."""
    changes: list[Change] = []
    missing = tuple(name for name in family.needed(tuple(want.protocols)) if name not in packages.installed)
    fresh = family.packages["core"][0] in missing
    if missing:
        keep_stopped = family.unit if fresh and family.starts_at_install else ""
        changes.append(InstallPackages(family, missing, keep_stopped))
        if keep_stopped and service.unit_file == "masked-runtime":
            # what a dead earlier run left: the install takes it off with its own
            return [*changes, EnableUnit(family.unit, "")]
    if service.masked:
        changes.append(UnmaskUnit(family.unit, runtime=service.unit_file == "masked-runtime"))
    if fresh or service.masked:
        # neither the package nor the mask tells yet what the unit's state will be
        changes.append(EnableUnit(family.unit, ""))
    elif not service.enabled:
        changes.append(EnableUnit(family.unit, service.unit_file))
    return changes
