"""`firewall-cmd --list-all-zones`, running or permanent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from mailhost.sheet import PORTS

State = Literal["open", "closed", "unknown"]


def zones(text: str) -> dict[str, dict[str, str]]:
    """Zone to its rows (target, interfaces, services, ports, rich rules ...)."""
    found: dict[str, dict[str, str]] = {}
    zone: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            name = line.split()[0]
            # firewalld before 0.4 does not show targets; `trusted` is the one of its zones that accepts all
            zone = found.setdefault(name, {"target": "ACCEPT"} if name == "trusted" else {})
        elif re.match(r"  [a-z][a-z -]*:", line):
            key, _, value = line.strip().partition(":")
            zone[key] = value.strip()
        elif line.strip() and key:  # rich rules and forwarded ports follow one a line
            zone[key] = f"{zone.get(key, '')}\n{line.strip()}".strip()
    return found


def block(text: str, zone: str) -> str:
    """One zone's part of the text as it was."""
    parts = re.split(r"\n(?=\S)", text)
    return next((part.rstrip() for part in parts if part.split()[:1] == [zone]), "")


def zone_of(found: Mapping[str, Mapping[str, str]], interface: str, otherwise: str) -> str:
    """The zone that names this interface."""
    names = (name for name, rows in found.items() if interface in rows.get("interfaces", "").split())
    return next(names, otherwise) if interface else otherwise


def entries(zone: Mapping[str, str] | None) -> dict[str, tuple[str, ...]]:
    """Service to what opens it in this zone: its name, or ports such as ``993/tcp``; only those that are open."""
    if zone is None:
        return {}
    services, ports = zone.get("services", "").split(), zone.get("ports", "").split()
    found = {
        name: (*(s for s in services if s == name), *(p for p in ports if holds(p, number)))
        for name, number in PORTS.items()
    }
    return {name: by for name, by in found.items() if by}


def states(zone: Mapping[str, str] | None) -> dict[str, State]:
    """Service to open or closed in this zone; unknown where rich rules speak of it, or there is no such zone."""
    opened = entries(zone)
    return {name: _state(zone, name, number, opened=name in opened) for name, number in PORTS.items()}


def _state(zone: Mapping[str, str] | None, name: str, number: int, *, opened: bool) -> State:
    if zone is None or re.search(rf'service name="{name}"|port port="{number}"', zone.get("rich rules", "")):
        return "unknown"
    return "open" if opened or zone.get("target") == "ACCEPT" else "closed"


def holds(entry: str, number: int) -> bool:
    """Whether ``993/tcp``, ``990-999/tcp`` or ``990:999`` holds this TCP port."""
    ports, _, proto = entry.partition("/")
    match = re.fullmatch(r"(\d+)(?:[-:](\d+))?", ports)
    return match is not None and proto in ("tcp", "") and int(match[1]) <= number <= int(match[2] or match[1])
