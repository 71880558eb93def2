"""Dovecot's packages are there."""

from __future__ import annotations

from mailhost.checks.outcome import judged
from mailhost.facts.packages import Packages
from mailhost.finding import Finding


def packages(packages: Packages) -> list[Finding]:
    """Each package that the sheet's protocols need is installed; one finding for each."""
    title = "Dovecot's packages are installed"
    if not packages.needed:
        return [
            judged(
                None,
                "packages-installed",
                title,
                packages,
                message=f"which packages are needed is not known: {packages.reason or 'the family is unknown'}.",
                remedy="see the finding os-supported.",
                severity="high",
            )
        ]
    return [
        judged(
            name in packages.installed,
            "packages-installed",
            title,
            packages,
            subject=name,
            expected="installed",
            actual=packages.installed.get(name) or "not installed",
            message=f"{name} is not installed: what it serves cannot be served.",
            remedy="run 02_install in apply mode.",
            severity="high",
        )
        for name in packages.needed
    ]
