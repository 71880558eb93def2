"""What is judged: (facts, sheet) to findings; no host in any signature, so nothing is read or changed here."""

from __future__ import annotations

from mailhost.checks import (
    benchmark,
    certificate,
    dialogue,
    dovecot,
    existing,
    firewall,
    listeners,
    log,
    matrix,
    offers,
    packages,
    policies,
    preflight,
    reach,
    renewal,
    service,
    starttls,
    surroundings,
    tls,
    users,
)

__all__ = [
    "benchmark",
    "certificate",
    "dialogue",
    "dovecot",
    "existing",
    "firewall",
    "listeners",
    "log",
    "matrix",
    "offers",
    "packages",
    "policies",
    "preflight",
    "reach",
    "renewal",
    "service",
    "starttls",
    "surroundings",
    "tls",
    "users",
]
