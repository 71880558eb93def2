"""The sheet: what one server should be, typed, with unknown keys refused.

A sheet is one YAML file under ``parameters/``. Secrets appear only as references: ``"env:NAME"``,
``"file:PATH"`` or ``"prompt:"``. Relative paths are taken from the repository's root.
Everything that is wrong with a sheet is told at once and before any connection.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mailhost import prompt, redact
from mailhost.errors import SheetError

# What would break out of a configuration value or a shell word has no business in a path or a name.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SSH_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,63}")
_HIGHEST_PORT = 65535
_FORBIDDEN_IN_PATH = re.compile(r"[\x00-\x1f\x7f\s'\"\\<>{}#%$`;&|*?]")
_LINEAGE = re.compile(r"/.+/live/[^/]+/[^/]+")
_REFERENCE = re.compile(r"(?:env:[A-Za-z_][A-Za-z0-9_]*|file:.+|prompt:)")

_MASKABLE = 6  # characters of a secret that is told apart from other words

SERVICES = ("pop3", "imap", "pop3s", "imaps")
PORTS: dict[str, int] = {"pop3": 110, "imap": 143, "imaps": 993, "pop3s": 995}


def _reference(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        # The value may be the secret itself: it must not appear in the message.
        msg = 'a secret stands here in clear; write a quoted reference: "env:NAME", "file:PATH" or "prompt:"'
        raise ValueError(msg)
    return value


def _dns_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        msg = f"{value!r} is not a host name"
        raise ValueError(msg)
    return value


def _login(value: str) -> str:
    if not _LOGIN.fullmatch(value):
        msg = f"{value!r} is not a system user's name"
        raise ValueError(msg)
    return value


def _address(value: str) -> str:
    if "%" in value:  # Python takes anything at all for the scope behind it, line ends too
        msg = f"{value!r}: an address without a scope (%) is wanted"
        raise ValueError(msg)
    return str(ipaddress.ip_address(value))


def _listen(value: str) -> str:
    return value if value == "*" else _address(value)


def _host(value: str) -> str:
    try:
        return _address(value)
    except ValueError:
        return _dns_name(value)


def _ssh_login(value: str) -> str:
    if not _SSH_LOGIN.fullmatch(value):
        msg = f"{value!r} is not a login name"
        raise ValueError(msg)
    return value


def _local_file(value: str, info: ValidationInfo) -> str:
    base: Path = (info.context or {}).get("base", Path.cwd())
    path = base / Path(value).expanduser()
    if not path.is_file():
        msg = f"no such file: {path}"
        raise ValueError(msg)
    if not os.access(path, os.R_OK):
        msg = f"not readable: {path}"
        raise ValueError(msg)
    return str(path)


def _reference_or_file(value: str, info: ValidationInfo) -> str:
    _reference(value)
    if value.startswith("file:"):
        return "file:" + _local_file(value.removeprefix("file:"), info)
    return value


def _private_key(value: str, info: ValidationInfo) -> str:
    if value == prompt.REFERENCE:
        msg = 'a private key has many lines and cannot be typed in; write "file:PATH" or "env:NAME"'
        raise ValueError(msg)
    return _reference_or_file(value, info)


def _remote_path(value: str) -> str:
    if not value.startswith("/") or _FORBIDDEN_IN_PATH.search(value) or ".." in value.split("/"):
        msg = f"{value!r} is not a plain absolute path (no spaces, quotes, or < > {{ }} # % $)"
        raise ValueError(msg)
    return value


def _maildir(value: str) -> str:
    rest = value.removeprefix("~/")
    if _FORBIDDEN_IN_PATH.search(rest) or ".." in rest.split("/") or not rest.strip("/"):
        msg = f"{value!r} is not a plain path below the user's home, such as ~/Maildir"
        raise ValueError(msg)
    if not value.startswith("~/"):
        msg = f"{value!r} must lie in the users' homes and begin with ~/"
        raise ValueError(msg)
    return value.rstrip("/")


Reference = Annotated[str, AfterValidator(_reference_or_file)]
DnsName = Annotated[str, AfterValidator(_dns_name)]
HostName = Annotated[str, AfterValidator(_host)]
Address = Annotated[str, AfterValidator(_address)]
Listen = Annotated[str, AfterValidator(_listen)]
Login = Annotated[str, AfterValidator(_login)]
LocalFile = Annotated[str, AfterValidator(_local_file)]
KeyReference = Annotated[str, AfterValidator(_private_key)]
RemotePath = Annotated[str, AfterValidator(_remote_path)]
Maildir = Annotated[str, AfterValidator(_maildir)]
SshLogin = Annotated[str, AfterValidator(_ssh_login)]
Port = Annotated[int, Field(ge=1, le=_HIGHEST_PORT)]
Opening = Literal["open", "closed"]
AcmeClient = Literal["certbot", "lego", "acme.sh"]


class _Part(BaseModel):
    """Frozen, strict about types, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class Jump:
    """A host on the way to the server, as ``[user@]host[:port]``; what is left out is empty or 0."""

    host: str
    user: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Jump:
        """Take the text apart; an IPv6 address stands in brackets. Raises ValueError."""
        login, at, rest = text.rpartition("@")
        parts = re.fullmatch(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^\[\]:]*))(?::(?P<port>[^:]*))?", rest)
        if parts is None:
            msg = f"{text!r} is not [user@]host[:port]; an IPv6 address stands in brackets, as in [2001:db8::1]:22"
            raise ValueError(msg)
        bracketed, plain, port = parts.group("bracketed", "plain", "port")
        host = _host(plain) if bracketed is None else str(ipaddress.IPv6Address(_address(bracketed)))
        return cls(host, _ssh_login(login) if at else "", 0 if port is None else _port(port, text))


def _port(digits: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 1 <= int(digits) <= _HIGHEST_PORT:
        msg = f"{text!r}: {digits!r} is not a port, a number from 1 to {_HIGHEST_PORT}"
        raise ValueError(msg)
    return int(digits)


class Ssh(_Part):
    """How the server is reached for administration."""

    host: HostName | None = None
    port: Port = 22
    user: SshLogin = "root"
    key: LocalFile | None = None
    known_hosts: LocalFile | None = None
    jump: str | None = None
    sudo_password: Reference | None = None
    connect_timeout: Annotated[int, Field(ge=1, le=300)] = 15

    @property
    def sudo_word(self) -> str:
        """What a person is asked for, for ``sudo_password``."""
        return f"sudo password of {self.user}"

    @field_validator("jump")
    @classmethod
    def _jump(cls, value: str | None) -> str | None:
        if value is not None:
            Jump.parse(value)
        return value


class Tls(_Part):
    """The certificate that clients shall see.

    By files on the machine that runs the runbook, which are installed; or, with ``renewed_by``, by files on the server
    that an ACME client keeps there: those are never written, and Dovecot reads them anew after each renewal.
    """

    certificate: LocalFile | None = None
    key: KeyReference | None = None
    chain: LocalFile | None = None
    trust: LocalFile | None = None
    minimum: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    renewed_by: AcmeClient | None = None
    certificate_path: RemotePath | None = None
    key_path: RemotePath | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        local = [key for key in ("certificate", "key", "chain") if getattr(self, key) is not None]
        if self.renewed_by is None:
            missing = [key for key in ("certificate", "key") if key not in local]
            if missing:
                msg = f"{' and '.join(missing)} missing; or name the ACME client on the server in renewed_by"
                raise ValueError(msg)
            return self
        if local:
            msg = f"renewed_by says that {self.renewed_by} keeps the files on the server: leave {', '.join(local)} out"
            raise ValueError(msg)
        if self.certificate_path is None or self.key_path is None:
            msg = f"certificate_path and key_path must say where {self.renewed_by} keeps its files on the server"
            raise ValueError(msg)
        if self.renewed_by == "certbot" and not _LINEAGE.fullmatch(self.certificate_path):
            msg = "certbot's certificate_path is /etc/letsencrypt/live/NAME/fullchain.pem, or so below another folder"
            raise ValueError(msg)
        return self

    @property
    def where(self) -> str:
        """What a person is told that the certificate is read from."""
        return self.certificate or f"{self.certificate_path} on the server"

    @property
    def where_key(self) -> str:
        """What a person is told that the key is read from; never the key."""
        return self.key or f"{self.key_path} on the server"


class Firewall(_Part):
    """What the outside may reach; ``manage: false`` leaves the rules alone and still checks."""

    manage: bool = True
    pop3: Opening = "closed"
    imap: Opening = "closed"
    pop3s: Opening = "open"
    imaps: Opening = "open"

    def wanted(self) -> dict[str, str]:
        """Service name to ``open`` or ``closed``."""
        return {service: getattr(self, service) for service in SERVICES}


class TestAccount(_Part):
    """A mail account of yours for the login checks of plan and audit."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    name: Login
    password: Reference

    @property
    def word(self) -> str:
        """What a person is asked for, for ``password``."""
        return f"password of {self.name}"


class Sheet(_Part):
    """What one server should be."""

    name: DnsName
    ssh: Ssh = Ssh()
    mail_names: Annotated[list[DnsName], Field(min_length=1)]
    addresses: list[Address] | None = None
    resolver: str | None = None
    probe_from: Literal["here", "jump"] = "here"
    time_sync: Literal["required", "ignore"] = "required"
    protocols: Annotated[list[Literal["imap", "pop3"]], Field(min_length=1)] = ["imap", "pop3"]
    listen: list[Listen] | None = None
    base_dir: RemotePath | None = None
    maildir: Maildir = "~/Maildir"
    tls: Tls | None = None
    firewall: Firewall = Firewall()
    test_account: TestAccount | None = None
    failed_logins: Annotated[int, Field(ge=0, le=50)] = 4

    @field_validator("resolver")
    @classmethod
    def _resolver(cls, value: str | None) -> str | None:
        return None if value is None else _address(value)

    @field_validator("protocols")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            msg = "a protocol is named twice"
            raise ValueError(msg)
        return value

    @field_validator("probe_from")
    @classmethod
    def _probe_from(cls, value: str, info: ValidationInfo) -> str:
        if value == "jump" and (info.data.get("ssh") is None or info.data["ssh"].jump is None):
            msg = "'jump' needs ssh.jump"
            raise ValueError(msg)
        return value

    @property
    def ssh_host(self) -> str:
        """The address that SSH connects to."""
        return self.ssh.host or self.name

    def resolved(self) -> dict[str, Any]:
        """The sheet with its defaults, as plain values; secrets are references still."""
        return self.model_dump(mode="json")


# The top-level keys of a sheet, in their order: the notebooks' parameters.
KEYS = tuple(Sheet.model_fields)


def from_mapping(values: Mapping[str, Any], *, base: Path, source: str) -> Sheet:
    """Build a sheet from plain values; relative paths are taken from ``base``.

    Raises SheetError that names every bad key of ``source`` with its remedy.
    """
    try:
        return Sheet.model_validate(dict(values), context={"base": base})
    except ValidationError as error:
        raise SheetError(
            "\n".join(f"{source}: {_told(problem)}" for problem in error.errors()),
            follows="nothing was connected to and nothing was changed.",
            remedy="correct the sheet; parameters/example.yaml explains every key.",
        ) from None  # pydantic's own text repeats the input, and the input may be a secret


def load(path: Path, *, base: Path) -> Sheet:
    """Read a sheet from a YAML file. Raises SheetError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SheetError(
            f"{path}: cannot be read: {error}", remedy="check the path, or make a sheet with `runbook init SERVER`."
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise SheetError(
            f"{path}: not valid YAML{where}", remedy="correct that line; parameters/example.yaml is valid."
        ) from None
    if not isinstance(values, dict):
        raise SheetError(f"{path}: not a sheet: keys and values are expected", remedy="see parameters/example.yaml.")
    return from_mapping(values, base=base, source=str(path))


def secret(reference: str, *, login: str = "", what: str = "secret") -> str:
    """The secret behind a reference, registered for redaction before it is returned.

    Raises SheetError when it cannot be had, and says how to give it.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env":
        if rest not in os.environ:
            raise SheetError(
                f"the {what} is to come from the environment variable {rest}, which is not set",
                remedy=f"set {rest} and run again.",
            )
        value = os.environ[rest]
    elif kind == "file":
        try:
            value = Path(rest).expanduser().read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SheetError(f"the {what} cannot be read from {rest}: {error}", remedy="check the file.") from None
    else:
        value = prompt.ask(what)
    if not value:
        raise SheetError(f"the {what} behind {kind}: is empty", remedy="give it a value.")
    if len(value) < _MASKABLE:
        raise SheetError(
            f"the {what} behind {kind}: has less than {_MASKABLE} characters",
            follows="it could not be kept out of the record without ruining every word that holds it.",
            remedy="use a longer one.",
        )
    redact.register(value, login=login)
    return value


def _told(problem: Any) -> str:
    """One of pydantic's problems as a sentence that names the key and never repeats the input."""
    key = ".".join(str(part) for part in problem["loc"]) or "(the sheet)"
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = ", ".join(Sheet.model_fields) if len(problem["loc"]) == 1 else ""
        return f"{key}: unknown key" + (f"; known keys are {known}" if known else "")
    if kind == "missing":
        return f"{key}: missing, and there is no default"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}"
