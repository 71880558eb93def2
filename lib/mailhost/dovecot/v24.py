"""Dovecot 2.4: Debian 13, Ubuntu 25.10 and later, Fedora. No ``<`` before paths, mail locations in three parts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mailhost.dovecot import common
from mailhost.dovecot.settings import Settings
from mailhost.parse.doveconf import Row

VERSION = "2.4"
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "protocols": ("protocols",),
        "listen": ("listen",),
        "base_dir": ("base_dir",),
        "maildir": ("mail_driver", "mail_path", "mail_inbox_path"),
        "ssl": ("ssl",),
        "certificate_path": ("ssl_server_cert_file",),
        "key_path": ("ssl_server_key_file",),
        "minimum": ("ssl_min_protocol",),
        "cleartext_refused": ("auth_allow_cleartext",),
        "sessions_kept": ("shutdown_clients",),
    }
)
# How they are called inside of `ssl_server { }`, where packages and people often put them.
IN_SECTION: Mapping[str, str] = MappingProxyType(
    {"cert_file": "ssl_server_cert_file", "key_file": "ssl_server_key_file"}
)


def mail(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "mail".

    mail_inbox_path is set as well: Debian's own one points to /var/mail and would hide the delivered mail.
    """
    lines = [*common.shared(settings)]
    if settings.maildir is not None:
        lines += [
            "mail_driver = maildir",
            f"mail_path = {settings.maildir}",
            f"mail_inbox_path = {settings.maildir}",
        ]
    return tuple(lines)


def tls(settings: Settings) -> tuple[str, ...]:
    """The lines of the block "tls"; with a ``<`` Dovecot would print the private key into its error message."""
    lines = []
    if settings.ssl is not None:
        lines.append(f"ssl = {settings.ssl}")
    if settings.certificate_path is not None:
        lines.append(f"ssl_server_cert_file = {settings.certificate_path}")
    if settings.key_path is not None:
        lines.append(f"ssl_server_key_file = {settings.key_path}")
    if settings.minimum is not None:
        lines.append(f"ssl_min_protocol = {settings.minimum}")
    if settings.cleartext_refused is not None:
        lines.append(f"auth_allow_cleartext = {'no' if settings.cleartext_refused else 'yes'}")
    return (*lines, *common.sessions(settings))


def read(asked: tuple[Row, ...], changed: tuple[Row, ...]) -> Settings:
    """The effective settings, from ``doveconf NAME ...`` and, for the certificate, ``doveconf -n``."""
    told = common.told
    cleartext = common.yes(told(asked, "auth_allow_cleartext"))
    return Settings(
        protocols=_protocols(asked),
        listen=common.words(told(asked, "listen")),
        base_dir=told(asked, "base_dir"),
        maildir=_maildir(*(told(asked, name) for name in NAMES["maildir"])),
        ssl=told(asked, "ssl"),
        certificate_path=_server_file(asked, changed, "cert_file"),
        key_path=_server_file(asked, changed, "key_file"),
        minimum=told(asked, "ssl_min_protocol"),
        cleartext_refused=None if cleartext is None else not cleartext,
        sessions_kept=common.kept(asked),
    )


def _protocols(asked: tuple[Row, ...]) -> tuple[str, ...] | None:
    """``protocols { imap = yes }`` as well as ``protocols = imap``."""
    as_words = common.words(common.told(asked, "protocols"))
    listed = [row for row in asked if row.section == ("protocols",)]
    if as_words is None and not listed:
        return None
    return (as_words or ()) + tuple(row.name for row in listed if row.name and row.value == "yes")


def _maildir(driver: str | None, path: str | None, inbox: str | None) -> str | None:
    if driver is None or path is None:
        return None
    # "." is Dovecot's word for "the same as mail_path"
    if driver == "maildir" and inbox in (path, "."):
        return path
    return f"{driver}:{path}:INBOX={inbox or ''}"


def _server_file(asked: tuple[Row, ...], changed: tuple[Row, ...], name: str) -> str | None:
    """A path of ssl_server. 2.4.1 prints it empty when asked by name, and in a section with -n."""
    by_name = common.told(asked, f"ssl_server_{name}")
    in_section = [row.value for row in changed if row.section == ("ssl_server",) and row.name == name]
    flat = [row.value for row in changed if not row.section and row.name == f"ssl_server_{name}"]
    return by_name or next(iter([*in_section, *flat]), by_name)
