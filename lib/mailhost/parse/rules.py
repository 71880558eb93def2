"""`nft list ruleset` and `iptables -S`: does anything keep incoming connections out."""

from __future__ import annotations

import re

# Container engines filter their own guests, fail2ban single addresses; what ufw leaves behind is empty.
_NOT_INPUT = re.compile(
    r"docker|podman|netavark|cni-|kube|f2b-|fail2ban|libvirt|ufw6?-|sshguard|crowdsec", re.IGNORECASE
)
_STOPS = re.compile(r"\b(?:drop|reject|jump|goto)\b")


def filters(text: str) -> bool:
    """Whether plain rules keep any incoming connection out. The first line is ``rules=nft`` or ``rules=iptables``."""
    kind, _, rules = text.partition("\n")
    return _nft(rules) if kind == "rules=nft" else _iptables(rules)


def _iptables(rules: str) -> bool:
    """A policy that drops, or a rule of INPUT that does or that hands on to a chain of the owner's."""
    for line in rules.splitlines():
        if re.match(r"-P INPUT (?:DROP|REJECT)", line):
            return True
        match = re.match(r"-A INPUT .*-j (\S+)", line)
        if match and not _NOT_INPUT.search(line) and (match[1] in ("DROP", "REJECT") or not match[1].isupper()):
            return True
    return False


def _nft(rules: str) -> bool:
    """A chain on the input hook whose policy or rules drop, reject or hand on."""
    for chain in re.split(r"\n\tchain ", rules)[1:]:
        name, _, body = chain.partition(" {")
        if "hook input" in body and not _NOT_INPUT.search(name):
            own = (line for line in body.partition("\n\t}")[0].splitlines() if not _NOT_INPUT.search(line))
            if any(_STOPS.search(line) for line in own):
                return True
    return False
