"""The server's clock: how far it is off, and whether anything keeps it right."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import clock, pairs
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

# $1: this machine's time when the question was written. It travels with the answer, so that reading stays pure.
_NOW = 'echo "asked=$1"; echo "now=$(date -u +%s)"'
_SERVICES = ("chronyd", "chrony", "systemd-timesyncd", "ntpd", "ntp", "ntpsec", "openntpd")
_SYNC = """\
for state in $(systemctl is-active "$@" 2>/dev/null); do
  [ "$state" = active ] && echo "service=$1" && break
  shift
done
timedatectl 2>/dev/null
if command -v chronyc >/dev/null 2>&1; then chronyc -n tracking 2>/dev/null; fi
if command -v ntpq >/dev/null 2>&1; then ntpq -pn 2>/dev/null; fi
exit 0
"""


@dataclass(frozen=True)
class Clock(Fact):
    """The server's clock.

    now, asked     the server's time, and this machine's when it asked: seconds since 1970
    synchronised   None when nothing on the server could tell
    service        what keeps the time there; empty when none is active
    source         which tool told about the synchronisation
    """

    now: int = 0
    asked: float = 0.0
    synchronised: bool | None = None
    service: str = ""
    source: str = ""

    @property
    def offset(self) -> float:
        """Seconds by which the server is ahead; too large by the time that the question was under way."""
        return self.now - self.asked


def _commands(_sheet: Sheet, _family: Family | None) -> dict[str, Command]:
    return {"now": sh(_NOW, f"{time.time():.1f}"), "sync": sh(_SYNC, *_SERVICES, timeout=20, ok=None)}


def read(results: Mapping[str, Result]) -> Clock:
    """The server's clock. Raises CommandError when `date` failed."""
    rows = pairs.pairs(results["now"].checked().stdout)
    said = results["sync"].stdout
    synchronised, source = clock.synchronised(said)
    return Clock(
        now=pairs.number(rows.get("now")) or 0,
        asked=float(rows.get("asked", "0")),
        synchronised=synchronised,
        service=pairs.pairs(said).get("service", ""),
        source=source,
    )


query: Query[Clock] = Query("clock", "The server's clock", _commands, read)
