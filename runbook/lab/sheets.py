"""The files that a lab server's user needs: its sheet, keys, certificate and known_hosts entry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from runbook.lab.place import DOMAIN

_HEAD = """\
# Made by the lab for a throw-away server; gone with it.
"""


def sheet(name: str, folder: Path, address: str, resolver: str) -> dict[str, Any]:
    """What a sheet says about the lab server ``name`` whose files lie in ``folder``.

    All four ports are open: on 110 and 143 a refusal can be proven only where they can be reached.
    """
    tls = folder / "tls"
    return {
        "name": name,
        "ssh": {
            "host": address,
            "port": 22,
            "user": "root",
            "key": str(folder / "id_ed25519"),
            "known_hosts": str(folder / "known_hosts"),
        },
        "mail_names": [f"{name}.{DOMAIN}"],
        "resolver": resolver,
        "time_sync": "ignore",  # a container has the time of the machine under it
        "protocols": ["imap", "pop3"],
        "maildir": "~/Maildir",
        "tls": {
            "certificate": str(tls / "leaf.pem"),
            "chain": str(tls / "chain.pem"),
            "key": f"file:{tls / 'key.pem'}",
            "trust": str(tls / "root.pem"),
        },
        "firewall": {"pop3": "open", "imap": "open", "pop3s": "open", "imaps": "open"},
    }


def merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with ``overrides`` laid over them, key by key in nested mappings too."""
    result = dict(values)
    for key, value in overrides.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a sheet as YAML."""
    path.write_text(_HEAD + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def make_login_key(path: Path) -> str:
    """Make an SSH key in ``path`` (0600); returns its line for authorized_keys."""
    key = ed25519.Ed25519PrivateKey.generate()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    return login_line(path)


def login_line(path: Path) -> str:
    """The line for authorized_keys of the SSH key in ``path``."""
    key = serialization.load_ssh_private_key(path.read_bytes(), password=None).public_key()
    public = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{public.decode()} dovecot-runbook-lab\n"
