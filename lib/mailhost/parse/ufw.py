"""`ufw status verbose`.

jc's parser loses application profiles and comments in brackets, which decide here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailhost.parse.firewalld import State, holds
from mailhost.sheet import PORTS

_PROFILES = {
    "Dovecot POP3": "pop3",
    "Dovecot IMAP": "imap",
    "Dovecot Secure POP3": "pop3s",
    "Dovecot Secure IMAP": "imaps",
}
_RULE = re.compile(
    r"^(?P<to>\S.*?)\s+(?P<action>ALLOW|DENY|REJECT|LIMIT)(?: (?P<way>IN|OUT|FWD))?\s{2,}(?P<source>\S.*?)\s*$"
)
_OPENS = {"ALLOW": "", "LIMIT": "limit "}


@dataclass(frozen=True)
class Ufw:
    """What ufw says: rules in their order, the first that fits decides.

    rules    (to, action, source)
    open_as  service to the targets that open it; ``limit 143/tcp`` for one that is opened with a limit
    """

    active: bool = False
    incoming: str = "deny"
    rules: tuple[tuple[str, str, str], ...] = ()
    open_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def ufw(text: str) -> Ufw:
    """The state, the default for incoming connections, and the rules."""
    rules = tuple(
        (match["to"].strip(), match["action"], match["source"])
        for match in map(_RULE.match, text.splitlines())
        if match and match["way"] in (None, "IN")
    )
    default = re.search(r"^Default: (\w+) \(incoming\)", text, re.MULTILINE)
    opens = [(to, _OPENS[action] + to) for to, action, _ in rules if action in _OPENS]
    opened = {name: tuple(dict.fromkeys(told for to, told in opens if _means(to, name))) for name in PORTS}
    return Ufw(
        active=re.search(r"^Status: active\s*$", text, re.MULTILINE) is not None,
        incoming=default[1] if default else "deny",
        rules=rules,
        open_as={name: by for name, by in opened.items() if by},
    )


def states(status: Ufw) -> dict[str, State]:
    """Service to open or closed; unknown where rules name sources, or IPv4 and IPv6 differ."""
    return {name: _state(status, name) for name in PORTS}


def _state(status: Ufw, name: str) -> State:
    found: list[State] = []
    for v6 in (False, True):
        verdict: State = "open" if status.incoming == "allow" else "closed"
        for to, action, source in status.rules:
            if ("(v6)" in to or "(v6)" in source) == v6 and _means(to, name):
                if not source.startswith("Anywhere"):
                    return "unknown"
                verdict = "open" if action in _OPENS else "closed"
                break
        found.append(verdict)
    # ufw without IPv6 (IPV6=no) shows no rule for it at all: then IPv4 alone tells
    v4_only = not any("(v6)" in to + source for to, _, source in status.rules)
    return found[0] if v4_only or found[0] == found[1] else "unknown"


def _means(to: str, name: str) -> bool:
    """Whether a rule's target is this service: ``993/tcp``, ``993,995/tcp``, ``143/tcp (Dovecot IMAP)``, a profile."""
    target = re.sub(r"\s*\(v6\)", "", to).strip()
    profile = re.search(r"\((Dovecot [^)]+)\)$", target)
    bare = target.split(" (")[0]
    if bare == "Anywhere" or _PROFILES.get(profile[1] if profile else bare) == name:
        return True
    ports, _, proto = bare.partition("/")
    return any(holds(f"{port}/{proto}" if proto else port, PORTS[name]) for port in ports.split(","))
