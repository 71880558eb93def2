"""What a Dovecot should do, said without a version: dialects write it down and read it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from mailhost.families import Family
from mailhost.parse.doveconf import Row
from mailhost.sheet import Sheet


@dataclass(frozen=True)
class Settings:
    """Settings of one Dovecot; None is "left alone" when wanted and "not known" when read.

    maildir     ``~/Maildir`` when both the mail and the inbox lie there; read from another set-up, its own words
    ssl         ``no``, ``yes`` or ``required``
    sessions_kept   whether sessions outlive a reload; by default Dovecot ends each of them within seconds
    minimum     the oldest protocol that is spoken: ``TLSv1.2``, ``TLSv1.3``, or the server's own words
    """

    protocols: tuple[str, ...] | None = None
    listen: tuple[str, ...] | None = None
    base_dir: str | None = None
    maildir: str | None = None
    ssl: str | None = None
    certificate_path: str | None = None
    key_path: str | None = None
    minimum: str | None = None
    cleartext_refused: bool | None = None
    sessions_kept: bool | None = None


class Dialect(Protocol):
    """The language of one Dovecot version: a module of this folder, chosen once by `dialect`.

    NAMES    field of Settings to the setting names that carry it, as people find them in files
    """

    @property
    def VERSION(self) -> str:  # noqa: N802  # a module's constant
        """The versions that speak it, such as ``2.3``."""

    @property
    def NAMES(self) -> Mapping[str, tuple[str, ...]]:  # noqa: N802  # a module's constant
        """Field of Settings to setting names; ``ciphers`` where the dialect chooses them, judged by what is offered."""

    def mail(self, settings: Settings) -> tuple[str, ...]:
        """The lines of the block "mail"."""

    def tls(self, settings: Settings) -> tuple[str, ...]:
        """The lines of the block "tls"."""

    def read(self, asked: tuple[Row, ...], changed: tuple[Row, ...]) -> Settings:
        """The effective settings, from ``doveconf NAME ...`` and ``doveconf -n``."""


def certificate_paths(want: Sheet, family: Family) -> tuple[str, str]:
    """Where certificate and key lie on the server: as the sheet says, else where the family keeps them."""
    tls = want.tls
    return (
        (tls and tls.certificate_path) or f"{family.certificate_dir}/{want.name}.crt",
        (tls and tls.key_path) or f"{family.key_dir}/{want.name}.key",
    )


def wanted(want: Sheet, family: Family, *, ipv6: bool) -> Settings:
    """The settings that the sheet asks for once everything is in place.

    ``listen`` follows whether IPv6 works: with ``::`` on a kernel without it Dovecot does not start at all.
    """
    certificate, key = certificate_paths(want, family)
    return Settings(
        protocols=tuple(want.protocols),
        listen=tuple(want.listen) if want.listen else (("*", "::") if ipv6 else ("*",)),
        base_dir=want.base_dir,
        maildir=want.maildir,
        ssl="required",
        certificate_path=certificate,
        key_path=key,
        minimum=want.tls.minimum if want.tls else "TLSv1.2",
        cleartext_refused=True,
        sessions_kept=True,
    )


def values(rows: tuple[Row, ...]) -> Mapping[str, str]:
    """Setting name to value, sections left out; the last one wins, as it does in Dovecot."""
    return MappingProxyType({row.name: row.value for row in rows if not row.section})
