"""What is judged: (facts, sheet) to findings; no host in any signature, so nothing is read or changed here."""

from __future__ import annotations

from mailhost.checks import (
    certificate,
    dialogue,
    dovecot,
    existing,
    firewall,
    listeners,
    log,
    packages,
    policies,
    preflight,
    reach,
    service,
    surroundings,
    tls,
    users,
)

__all__ = [
    "certificate",
    "dialogue",
    "dovecot",
    "existing",
    "firewall",
    "listeners",
    "log",
    "packages",
    "policies",
    "preflight",
    "reach",
    "service",
    "surroundings",
    "tls",
    "users",
]
