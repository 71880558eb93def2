"""`netstat -tulpn` and `ss -tulpn`: the same rows from either."""

from __future__ import annotations

import re
from typing import Any, TypedDict

import jc

_USERS = re.compile(r'\("(?P<program>(?:[^"\\]|\\.)*)",(?:pid=)?(?P<pid>\d+),')


class Row(TypedDict):
    """One listening socket: proto is tcp, tcp6, udp or udp6."""

    proto: str
    address: str
    port: int
    pid: int | None
    program: str


def netstat(text: str) -> list[Row]:
    """Rows of `netstat -tulpn`; sockets without a numeric port are left out."""
    start = text.find("Proto ")
    if start < 0:
        return []
    # jc tells the kind of table from the line above its heading
    rows: Any = jc.parse("netstat", "Active Internet connections (only servers)\n" + text[start:], quiet=True)
    found: list[Row] = []
    for row in rows:
        port = row.get("local_port_num")
        if port is not None:
            address = str(row["local_address"])
            proto = str(row["proto"]).rstrip("6") + ("6" if ":" in address else "")
            found.append(
                {
                    "proto": proto,
                    "address": address,
                    "port": int(port),
                    "pid": row.get("pid"),
                    "program": str(row.get("program_name") or "").split(":")[0].strip(" -"),
                }
            )
    return found


def ss(text: str) -> list[Row]:
    """Rows of `ss -tulpn`, with or without a heading, of iproute old and new.

    jc's parser wants the heading, which has lost and gained blanks over the years; so this one is ours.
    """
    # Old ss writes *:110 for IPv4 and :::110 for IPv6; new ss 0.0.0.0:110, [::]:110, and *:110 for both at once.
    old = ":::" in text or re.search(r'",\d+,', text) is not None
    found: list[Row] = []
    for line in text.splitlines():
        words = line.split(None, 6)
        if len(words) < 6 or words[0] not in ("tcp", "udp"):  # noqa: PLR2004
            continue
        address, _, port = words[4].rpartition(":")
        if not port.isdigit():
            continue
        address = address.partition("%")[0].strip("[]")
        holders = _USERS.findall(words[6]) if len(words) > 6 else []  # noqa: PLR2004
        program, pid = next((h for h in holders if h[0] == "dovecot"), holders[0] if holders else ("", ""))
        v6 = ":" in address or (address == "*" and not old)
        found.append(
            {
                "proto": words[0] + ("6" if v6 else ""),
                "address": {"*": "::" if v6 else "0.0.0.0"}.get(address, address),  # noqa: S104  # shown, not bound
                "port": int(port),
                "pid": int(pid) if pid else None,
                "program": program,
            }
        )
    return found
