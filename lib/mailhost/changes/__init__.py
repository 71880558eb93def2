"""Changes: what the runbook does to a server, each with its diff, its guard and its way back."""

from __future__ import annotations

from mailhost.changes.base import STALE, Change, undo
from mailhost.changes.files import ABSENT, FileState, IncludeLast, WriteDropIn, WriteFile, forget_old
from mailhost.changes.firewall import Firewalld, Rule, Ufw
from mailhost.changes.packages import InstallPackages
from mailhost.changes.unit import EnableUnit, ReloadUnit, RestartUnit, StartUnit, UnitChange, UnmaskUnit, WatchFiles

__all__ = [
    "ABSENT",
    "STALE",
    "Change",
    "EnableUnit",
    "FileState",
    "Firewalld",
    "IncludeLast",
    "InstallPackages",
    "ReloadUnit",
    "RestartUnit",
    "Rule",
    "StartUnit",
    "Ufw",
    "UnitChange",
    "UnmaskUnit",
    "WatchFiles",
    "WriteDropIn",
    "WriteFile",
    "forget_old",
    "undo",
]
