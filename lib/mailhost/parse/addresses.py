"""`ip -o addr`, and `hostname -I` where there is no iproute."""

from __future__ import annotations

import re
from typing import TypedDict

from mailhost.names import is_address

# "2: eth0    inet 192.0.2.10/24 brd ...", "... inet 10.0.0.1 peer 10.0.0.2/32 ..." on point-to-point links
_LINE = re.compile(r"^\d+:\s+(?P<interface>\S+)\s+inet6?\s+(?P<address>[0-9a-fA-F.:]+)(?:/\d+)?\s(?P<rest>.*)$")
_SCOPE = re.compile(r"\bscope (\w+)")


class Row(TypedDict):
    """One address of the server; interface and scope are empty where the tool does not tell them."""

    interface: str
    address: str
    scope: str


def addresses(text: str) -> list[Row]:
    """Rows of either tool's output; what is no address is left out."""
    rows: list[Row] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            scope = _SCOPE.search(match["rest"])
            interface = match["interface"].rstrip(":")
            rows.append({"interface": interface, "address": match["address"], "scope": scope[1] if scope else ""})
        elif line[:1].isalnum() and not re.match(r"\d+:\s", line):
            rows += [{"interface": "", "address": word, "scope": ""} for word in line.split() if is_address(word)]
    return rows
