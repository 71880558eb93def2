"""Dovecot's unit: is it enabled, does it run, since when, and who is connected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import pairs, who
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "Type",
    "MainPID",
    "ExecMainStatus",
    "ActiveEnterTimestamp",
    "ActiveEnterTimestampMonotonic",
    "ExecMainStartTimestamp",
    "NRestarts",
)
# One -p each (systemd 208 takes no list everywhere); UTC, since zone abbreviations are ambiguous.
# systemd before 233 leaves UnitFileState empty for units that it has not loaded: `is-enabled` is the older word.
_SHOW = """\
unit=$1; shift
for property in "$@"; do set -- "$@" -p "$property"; shift; done
TZ=UTC0 systemctl show "$@" "$unit"
echo "IsEnabled=$(systemctl is-enabled "$unit" 2>/dev/null)"
"""
_WHO = 'systemctl -q is-active "$1" || exit 0; doveadm who -1'


@dataclass(frozen=True)
class Service(Fact):
    """Dovecot's unit.

    load, active, sub, result, unit_file   systemd's own words
    since, since_monotonic   when it became active: seconds since 1970, microseconds since boot; None when it is not
    started      when its main process started, seconds since 1970
    connected    people logged in right now; 0 when it is down, None when `doveadm who` could not tell
    """

    unit: str = ""
    load: str = ""
    active: str = ""
    sub: str = ""
    unit_file: str = ""
    result: str = ""
    type: str = ""
    main_pid: int | None = None
    exit_status: int | None = None
    since: int | None = None
    since_monotonic: int | None = None
    started: int | None = None
    restarts: int | None = None
    connected: int | None = None

    @property
    def installed(self) -> bool:
        """Whether systemd knows the unit, masked or not."""
        return self.load in ("loaded", "masked")

    @property
    def masked(self) -> bool:
        """Whether the unit can not be started by anyone."""
        return self.load == "masked" or self.unit_file.startswith("masked")

    @property
    def enabled(self) -> bool:
        """Whether the unit starts with the server."""
        return self.unit_file in ("enabled", "static", "linked", "alias", "generated") and not self.masked

    @property
    def running(self) -> bool:
        """Whether the unit is active and its main process lives."""
        return self.active == "active" and self.sub == "running"


def _commands(_sheet: Sheet, family: Family | None) -> dict[str, Command]:
    unit = family.unit if family else "dovecot.service"
    return {"show": sh(_SHOW, unit, *_PROPERTIES), "who": sh(_WHO, unit, ok=None, timeout=15)}


def read(results: Mapping[str, Result]) -> Service:
    """What systemd says of the unit. Raises CommandError when systemd does not answer."""
    shown = results["show"].checked()
    rows = pairs.pairs(shown.stdout)
    active = rows.get("ActiveState", "")
    asked = results["who"]
    return Service(
        unit=shown.command.argv[4],
        load=rows.get("LoadState", ""),
        active=active,
        sub=rows.get("SubState", ""),
        unit_file=rows.get("IsEnabled") or rows.get("UnitFileState", ""),
        result=rows.get("Result", ""),
        type=rows.get("Type", ""),
        main_pid=pairs.number(rows.get("MainPID")) or None,
        exit_status=pairs.number(rows.get("ExecMainStatus")),
        since=_epoch(rows.get("ActiveEnterTimestamp", "")) if active == "active" else None,
        since_monotonic=pairs.number(rows.get("ActiveEnterTimestampMonotonic")) if active == "active" else None,
        started=_epoch(rows.get("ExecMainStartTimestamp", "")),
        restarts=pairs.number(rows.get("NRestarts")),
        connected=who.connected(asked.stdout) if asked.code == 0 else None,
    )


def _epoch(text: str) -> int | None:
    """Seconds since 1970 of ``Mon 2026-11-23 10:03:21 UTC``; None for ``n/a`` or nothing."""
    try:
        when = datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC")  # noqa: DTZ007  # the zone is in the text
    except ValueError:
        return None
    return int(when.replace(tzinfo=UTC).timestamp())


query: Query[Service] = Query("service", "Dovecot's unit", _commands, read)
