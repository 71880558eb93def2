"""Dovecot 2.3: Debian 11 and 12, Ubuntu up to 24.04, Red Hat 8 to 10."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mailhost.dovecot import common
from mailhost.dovecot.settings import Settings
from mailhost.parse.doveconf import Row

VERSION = "2.3"
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(common.NAMES | {"minimum": ("ssl_min_protocol",)})


def mail(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "mail". Raises UnsupportedError for a mail location that cannot be said."""
    return common.mail(settings, VERSION)


def tls(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "tls"."""
    minimum = () if settings.minimum is None else (f"ssl_min_protocol = {settings.minimum}",)
    return common.tls(settings, minimum)


def read(asked: tuple[Row, ...], changed: tuple[Row, ...]) -> Settings:
    """The effective settings, from ``doveconf NAME ...``; 2.3 tells all of them there."""
    del changed
    return common.read(asked, minimum=common.told(asked, "ssl_min_protocol"))
