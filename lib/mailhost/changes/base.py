"""One difference between what is and what should be: it shows its diff, applies itself and undoes itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mailhost.host import Command

# What a change's first command ends with when the server is no longer as it was looked at: EX_TEMPFAIL of sysexits.h.
STALE = 75


@dataclass(frozen=True)
class Change(ABC):
    """One difference between what is and what should be.

    It remembers the state that it was computed from: its first command ends with `STALE` in any other.

    restarts        whether Dovecot's clients lose their connections by it
    last_to_undo    whether undoing waits until all others are undone: a service restarts with the old files only then
    why_not_undone  what a person is told where it cannot be undone
    """

    restarts: ClassVar[bool] = False
    last_to_undo: ClassVar[bool] = False
    why_not_undone: ClassVar[str] = ""

    @property
    @abstractmethod
    def title(self) -> str:
        """What is changed, in a few words."""

    @abstractmethod
    def diff(self) -> str:
        """What will be different: a unified diff, or lines of ``+`` and ``-``. Never a secret."""

    @abstractmethod
    def commands(self) -> tuple[Command, ...]:
        """What applies it, for one batch that stops at the first failure; the first command is the guard."""

    def undo(self) -> tuple[Command, ...]:
        """What takes it back, also when it was applied by half; nothing when it cannot be undone."""
        return ()

    def forget(self) -> tuple[Command, ...]:
        """What removes the traces that `undo` needs, once all is well."""
        return ()


def undo(applied: Sequence[Change]) -> tuple[Command, ...]:
    """What takes these changes back, the last one first, and services after the files that they read."""
    backwards = applied[::-1]
    files = [change for change in backwards if not change.last_to_undo]
    services = [change for change in backwards if change.last_to_undo]
    return tuple(command for change in (*files, *services) for command in change.undo())
