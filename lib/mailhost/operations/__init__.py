"""What must be changed: values in, changes out. Nothing here can touch a server."""

from __future__ import annotations

from mailhost.operations.configure import configure
from mailhost.operations.firewall import firewall
from mailhost.operations.install import install
from mailhost.operations.secure import is_secured, renew, secure

__all__ = ["configure", "firewall", "install", "is_secured", "renew", "secure"]
