"""Is the clock kept right: timedatectl, chronyc tracking and ntpq -pn."""

from __future__ import annotations

import re

# systemd 208 says "NTP synchronized", 239 and later "System clock synchronized"
_TIMEDATECTL = re.compile(r"^\s*(?:NTP|System clock) synchronized: (yes|no)\s*$", re.MULTILINE)
_LEAP = re.compile(r"^Leap status\s*: (.+?)\s*$", re.MULTILINE)
_STRATUM = re.compile(r"^Stratum\s*: (\d+)\s*$", re.MULTILINE)
_PEER = re.compile(r"^([*o])[0-9a-fA-F.:]+\s", re.MULTILINE)
_PEERS = re.compile(r"^\s*remote\s+refid\s", re.MULTILINE)


def synchronised(text: str) -> tuple[bool | None, str]:
    """Whether the clock is synchronised, and which of the tools said so; None when none of them knows.

    One yes is enough: in a container or with `chronyd -x` the kernel's flag, which timedatectl shows, stays down.
    """
    said: dict[str, bool] = {}
    if match := _TIMEDATECTL.search(text):
        said["timedatectl"] = match[1] == "yes"
    if match := _LEAP.search(text):
        stratum = _STRATUM.search(text)
        said["chronyc"] = match[1] != "Not synchronised" and (stratum is None or stratum[1] != "0")
    if _PEERS.search(text):
        said["ntpq"] = _PEER.search(text) is not None
    for tool, yes in said.items():
        if yes:
            return True, tool
    return (False, next(iter(said))) if said else (None, "")
