"""Dovecot 2.2: CentOS and Red Hat 7. It lists the TLS versions that it speaks, or those that it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mailhost.dovecot import common
from mailhost.dovecot.settings import Settings
from mailhost.errors import UnsupportedError
from mailhost.parse.doveconf import Row

VERSION = "2.2"
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    common.NAMES | {"minimum": ("ssl_protocols",), "ciphers": ("ssl_cipher_list",)}
)

# 2.2.10 speaks all of them but the first unless told not to. The oldest comes first.
_VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2")
# Its own list is of 2013 and offers RC4, 3DES, keys without forward secrecy, and Diffie-Hellman of 1024 bits; no
# OpenSSL of that age strikes them out. What is left of it is named as OpenSSL 1.0.1 names it.
_CIPHERS = "EECDH+AESGCM:EECDH+AES:!aNULL"


def mail(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "mail". Raises UnsupportedError for a mail location that cannot be said."""
    return common.mail(settings, VERSION)


def tls(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "tls". Raises UnsupportedError for a minimum of TLS 1.3."""
    if settings.minimum not in (None, "TLSv1.2"):
        raise UnsupportedError(
            f"ssl_protocols of Dovecot 2.2 (tls.minimum) cannot be {settings.minimum}: it has no word for TLS 1.3",
            follows="no client could connect; nothing was changed.",
            remedy='set tls.minimum to "TLSv1.2" in the sheet, or move to a newer distribution.',
        )
    # A list of what is spoken, not of what is refused: with an OpenSSL that knows no SSLv2, Dovecot 2.2.36 takes the
    # name "SSLv2" for an error, starts all the same, and drops every client.
    minimum = (
        () if settings.minimum is None else (f"ssl_protocols = {settings.minimum}", f"ssl_cipher_list = {_CIPHERS}")
    )
    return common.tls(settings, minimum)


def read(asked: tuple[Row, ...], changed: tuple[Row, ...]) -> Settings:
    """The effective settings, from ``doveconf NAME ...``."""
    del changed
    return common.read(asked, minimum=_oldest(common.told(asked, "ssl_protocols")))


def _oldest(protocols: str | None) -> str | None:
    """``TLSv1.2`` where nothing older is spoken, else the list as it stands.

    Names without ``!`` are all that is spoken; where there are none it is everything that has no ``!``. SSLv2 is not
    looked at: no package has it any more.
    """
    names = [name.lower() for name in (protocols or "").replace(",", " ").split()]
    listed = {name for name in names if not name.startswith("!")}
    spoken = [v for v in _VERSIONS[1:] if (v.lower() in listed or not listed) and f"!{v.lower()}" not in names]
    return _VERSIONS[-1] if spoken == [_VERSIONS[-1]] else protocols
