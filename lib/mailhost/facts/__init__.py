"""What is read from a server and never changes it: each module exports a frozen fact and the `query` that reads it."""

from __future__ import annotations

from mailhost.facts import (
    bans,
    certificate_files,
    clock,
    crypto_policy,
    disk,
    dovecot,
    firewall,
    hardening,
    kept_certificate,
    labels,
    listeners,
    log,
    mta,
    packages,
    renewal_hook,
    service,
    system,
    users,
)

__all__ = [
    "bans",
    "certificate_files",
    "clock",
    "crypto_policy",
    "disk",
    "dovecot",
    "firewall",
    "hardening",
    "kept_certificate",
    "labels",
    "listeners",
    "log",
    "mta",
    "packages",
    "renewal_hook",
    "service",
    "system",
    "users",
]
