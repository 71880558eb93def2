"""Dovecot 2.2: CentOS and Red Hat 7. It lists the TLS versions that it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mailhost.dovecot import common
from mailhost.dovecot.settings import Settings
from mailhost.errors import UnsupportedError
from mailhost.parse.doveconf import Row

VERSION = "2.2"
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(common.NAMES | {"minimum": ("ssl_protocols",)})

# 2.2.10 speaks SSLv3 and TLS 1.0 unless told not to.
_REFUSED = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1")


def mail(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "mail". Raises UnsupportedError for a mail location that cannot be said."""
    return common.mail(settings, VERSION)


def tls(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "tls". Raises UnsupportedError for a minimum of TLS 1.3."""
    if settings.minimum not in (None, "TLSv1.2"):
        raise UnsupportedError(
            f"Dovecot 2.2 cannot be limited to {settings.minimum}: its OpenSSL ends at TLS 1.2",
            follows="no client could connect; nothing was changed.",
            remedy='set tls.minimum to "TLSv1.2" in the sheet, or move to a newer distribution.',
        )
    refused = " ".join(f"!{name}" for name in _REFUSED)
    minimum = () if settings.minimum is None else (f"ssl_protocols = {refused}",)
    return common.tls(settings, minimum)


def read(asked: tuple[Row, ...], changed: tuple[Row, ...]) -> Settings:
    """The effective settings, from ``doveconf NAME ...``."""
    del changed
    protocols = common.told(asked, "ssl_protocols")
    strict = protocols is not None and {f"!{name}" for name in _REFUSED[1:]} <= set(protocols.split())
    return common.read(asked, minimum="TLSv1.2" if strict else protocols)
