"""What Dovecot 2.2 and 2.3 say in the same words."""

from __future__ import annotations

from mailhost.dovecot.settings import Settings, values
from mailhost.errors import UnsupportedError
from mailhost.parse.doveconf import Row

NAMES: dict[str, tuple[str, ...]] = {
    "protocols": ("protocols",),
    "listen": ("listen",),
    "base_dir": ("base_dir",),
    "maildir": ("mail_location",),
    "ssl": ("ssl",),
    "certificate_path": ("ssl_cert",),
    "key_path": ("ssl_key",),
    "cleartext_refused": ("disable_plaintext_auth",),
    "sessions_kept": ("shutdown_clients",),
}


def mail(settings: Settings, version: str) -> tuple[str, ...]:
    """The lines of the block "mail". Raises UnsupportedError for a mail location that cannot be said."""
    lines = [*shared(settings)]
    if settings.maildir is not None:
        if ":" in settings.maildir:
            raise UnsupportedError(
                f"mail_location of Dovecot {version} cannot name {settings.maildir}: a ':' ends the path there",
                follows="what stands behind it would be taken for options; nothing was changed.",
                remedy="set maildir in the sheet to a path without ':'.",
            )
        lines.append(f"mail_location = maildir:{settings.maildir}")
    return tuple(lines)


def shared(settings: Settings) -> tuple[str, ...]:
    """The lines that every version takes as they are."""
    lines = []
    if settings.protocols is not None:
        lines.append(f"protocols = {' '.join(settings.protocols)}")
    if settings.listen is not None:
        lines.append(f"listen = {', '.join(settings.listen)}")
    if settings.base_dir is not None:
        lines.append(f"base_dir = {settings.base_dir}")
    return tuple(lines)


def tls(settings: Settings, minimum: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of the block "tls"; ``<`` has Dovecot read the file, without it the path were the certificate."""
    lines = []
    if settings.ssl is not None:
        lines.append(f"ssl = {settings.ssl}")
    if settings.certificate_path is not None:
        lines.append(f"ssl_cert = <{settings.certificate_path}")
    if settings.key_path is not None:
        lines.append(f"ssl_key = <{settings.key_path}")
    lines += minimum
    if settings.cleartext_refused is not None:
        lines.append(f"disable_plaintext_auth = {'yes' if settings.cleartext_refused else 'no'}")
    return (*lines, *sessions(settings))


def sessions(settings: Settings) -> tuple[str, ...]:
    """The line that lets sessions outlive a reload, in every version."""
    return (
        () if settings.sessions_kept is None else (f"shutdown_clients = {'no' if settings.sessions_kept else 'yes'}",)
    )


def kept(asked: tuple[Row, ...]) -> bool | None:
    """Whether sessions outlive a reload."""
    ended = yes(told(asked, "shutdown_clients"))
    return None if ended is None else not ended


def read(asked: tuple[Row, ...], *, minimum: str | None) -> Settings:
    """The effective settings, from ``doveconf NAME ...``."""
    location = told(asked, "mail_location")
    return Settings(
        protocols=words(told(asked, "protocols")),
        listen=words(told(asked, "listen")),
        base_dir=told(asked, "base_dir"),
        maildir=None if location is None else plain_maildir(location),
        ssl=told(asked, "ssl"),
        certificate_path=_path(told(asked, "ssl_cert")),
        key_path=_path(told(asked, "ssl_key")),
        minimum=minimum,
        cleartext_refused=yes(told(asked, "disable_plaintext_auth")),
        sessions_kept=kept(asked),
    )


def told(asked: tuple[Row, ...], name: str) -> str | None:
    """The value of a setting; None when doveconf did not tell it."""
    return values(asked).get(name)


def words(value: str | None) -> tuple[str, ...] | None:
    """``*, ::`` and ``imap pop3`` as words."""
    return None if value is None else tuple(value.replace(",", " ").split())


def yes(value: str | None) -> bool | None:
    """Dovecot's yes and no."""
    return {"yes": True, "no": False}.get(value or "")


def plain_maildir(location: str) -> str:
    """``~/Maildir`` for ``maildir:~/Maildir``; anything more or other is told in its own words."""
    kind, _, path = location.partition(":")
    return path if kind == "maildir" and path and ":" not in path else location


def _path(value: str | None) -> str | None:
    """The path behind ``<``. A certificate that was written in place has none and is told as empty."""
    if value is None:
        return None
    return value.removeprefix("<").strip() if value.startswith("<") else ""
