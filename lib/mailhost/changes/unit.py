"""Systemd's units: unmask, enable, start, restart, reload, and a look at what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mailhost.changes.base import Change
from mailhost.host import Command, sh

# systemd 208 has neither `show --value` nor `enable --now`.
_SHOW = """\
show() { systemctl show -p "$2" "$1" | sed 's/^[^=]*=//'; }
"""

_GUARD = (
    _SHOW
    + """\
now=$(show "$1" "$2")
case " $3 " in *" ${now:-none} "*) exit 0 ;; esac
echo "$1 is not as it was looked at: its $2 is ${now:-none} now and was $3" >&2
exit 75
"""
)

# The exit code of systemctl proves nothing with units of type forking, which die 2 s later: look until the same
# process has been there for a while. A notify unit has said itself that it is ready.
_ACT = (
    _SHOW
    + """\
unit=$1 action=$2
tell() {
    echo "$unit: $*" >&2
    timeout 5 journalctl --sync 2>/dev/null  # what was said a moment ago may still wait to be written; 208 has it not
    systemctl status --no-pager -l "$unit" >&2
    journalctl -u "$unit" -n 20 --no-pager >&2
    exit 1
}
if [ "$action" != start ]; then doveconf -nx >/dev/null || tell "its configuration is refused: $action not tried"; fi
systemctl reset-failed "$unit" 2>/dev/null
act() {
    # the unit of 2.2.10 does not say how it is reloaded
    if [ "$action" = reload ] && [ "$(show "$unit" CanReload)" = no ]; then doveadm reload; return; fi
    systemctl "$action" "$unit"
}
act || tell "$action failed"
case $(show "$unit" Type) in notify*) want=5 ;; *) want=15 ;; esac
same=0 pid=none tries=0
while [ "$same" -lt "$want" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || tell "no stable process within 20 s after $action"
    sleep 0.2
    state=$(show "$unit" ActiveState) now=$(show "$unit" MainPID)
    [ "$state" != failed ] || tell "failed after $action"
    if [ "$state" = active ] && [ "$now" = "$pid" ] && [ "$now" != 0 ]; then same=$((same + 1)); else same=0; fi
    pid=$now
done
echo "$unit is active, process $pid"
"""
)

# systemd before 233 leaves UnitFileState empty for units that it has not loaded
_GUARD_ENABLED = """\
now=$(systemctl is-enabled "$1" 2>/dev/null)
case "$2" in "$now" | "") exit 0 ;; esac
echo "$1 is not as it was looked at: it is ${now:-not known} now and was $2" >&2
exit 75
"""
_ENABLE = """\
systemctl enable "$1" || exit 1
now=$(systemctl is-enabled "$1")
[ "$now" = enabled ] || { echo "$1 is $now although systemctl enabled it" >&2; exit 1; }
"""

_STOP = 'systemctl stop "$1"'

_WATCH = """\
systemctl daemon-reload && systemctl enable "$1" && systemctl restart "$1" || exit 1
systemctl is-active "$1"
"""
# The unit's own file is gone again by now, and systemd would not disable what it does not find.
_UNWATCH = """\
systemctl stop "$1"
rm -f "/etc/systemd/system/multi-user.target.wants/$1"
systemctl daemon-reload
"""
_WATCH_AGAIN = 'systemctl daemon-reload; systemctl restart "$1"'


@dataclass(frozen=True)
class UnitChange(Change):
    """Something about one unit."""

    last_to_undo: ClassVar[bool] = True

    unit: str


@dataclass(frozen=True)
class UnmaskUnit(UnitChange):
    """Take a mask off that an earlier, broken run or somebody left; ``runtime`` for one under /run."""

    runtime: bool = False

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"unmask {self.unit}"

    def diff(self) -> str:
        """One line."""
        return f"- {self.unit} masked{' until the next start' if self.runtime else ''}"

    def commands(self) -> tuple[Command, ...]:
        """Guard, then unmask."""
        flags = ("--runtime",) if self.runtime else ()
        return (sh(_GUARD, self.unit, "LoadState", "masked"), sh('systemctl unmask "$@"', *flags, self.unit))

    def undo(self) -> tuple[Command, ...]:
        """Mask it again."""
        return (sh('systemctl mask "$@"', *(("--runtime",) if self.runtime else ()), self.unit),)


@dataclass(frozen=True)
class EnableUnit(UnitChange):
    """Have the unit start with the server. ``before``: its state, empty when the package is not there yet."""

    before: str = "disabled"

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"enable {self.unit}"

    def diff(self) -> str:
        """One line."""
        return f"+ {self.unit} enabled (was {self.before or 'not there'})"

    def commands(self) -> tuple[Command, ...]:
        """Guard, enable, and look."""
        return (sh(_GUARD_ENABLED, self.unit, self.before), sh(_ENABLE, self.unit))

    def undo(self) -> tuple[Command, ...]:
        """Disable it where it was so; a package that came in the same run may have enabled it by itself."""
        return (sh('systemctl disable "$1"', self.unit),) if self.before == "disabled" else ()


@dataclass(frozen=True)
class StartUnit(UnitChange):
    """Start the unit, and see that it stays up."""

    restarts: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"start {self.unit}"

    def diff(self) -> str:
        """One line."""
        return f"+ {self.unit} running"

    def commands(self) -> tuple[Command, ...]:
        """Guard, start, look."""
        return (
            sh(_GUARD, self.unit, "ActiveState", "inactive failed activating"),
            sh(_ACT, self.unit, "start", timeout=150),
        )

    def undo(self) -> tuple[Command, ...]:
        """Stop it again."""
        return (sh(_STOP, self.unit, timeout=120),)


@dataclass(frozen=True)
class RestartUnit(UnitChange):
    """Restart the running unit, and see that it stays up. Clients lose their connections.

    reason   what makes it necessary
    """

    restarts: ClassVar[bool] = True

    reason: str = ""

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"restart {self.unit}"

    def diff(self) -> str:
        """One line."""
        return f"~ {self.unit} restarted" + (f": {self.reason}" if self.reason else "")

    def commands(self) -> tuple[Command, ...]:
        """Guard, a last look at the configuration, restart, look."""
        return (sh(_GUARD, self.unit, "ActiveState", "active"), sh(_ACT, self.unit, "restart", timeout=150))

    def undo(self) -> tuple[Command, ...]:
        """Restart once more, with the files from before."""
        return (sh(_ACT, self.unit, "restart", timeout=150),)


@dataclass(frozen=True)
class ReloadUnit(UnitChange):
    """Have the running unit read its files again; connections stay. What is served then must be looked at."""

    reason: str = ""

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"reload {self.unit}"

    def diff(self) -> str:
        """One line."""
        return f"~ {self.unit} reloaded" + (f": {self.reason}" if self.reason else "")

    def commands(self) -> tuple[Command, ...]:
        """Guard, a last look at the configuration, since reload keeps the old one in silence; reload, look."""
        return (sh(_GUARD, self.unit, "ActiveState", "active"), sh(_ACT, self.unit, "reload", timeout=90))

    def undo(self) -> tuple[Command, ...]:
        """Reload once more, with the files from before."""
        return (sh(_ACT, self.unit, "reload", timeout=90),)


@dataclass(frozen=True)
class WatchFiles(UnitChange):
    """Have systemd watch files by a path unit, now and from each start of the server on.

    enabled   whether it was so before
    """

    enabled: bool = False

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"have systemd watch by {self.unit}"

    def diff(self) -> str:
        """One line."""
        return f"{'~' if self.enabled else '+'} {self.unit} enabled and active"

    def commands(self) -> tuple[Command, ...]:
        """Guard, then enable, start anew, and look."""
        return (sh(_GUARD_ENABLED, self.unit, "enabled" if self.enabled else ""), sh(_WATCH, self.unit))

    def undo(self) -> tuple[Command, ...]:
        """Stop watching, or watch as the files from before say."""
        return (sh(_WATCH_AGAIN if self.enabled else _UNWATCH, self.unit),)
