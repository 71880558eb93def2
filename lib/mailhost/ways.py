"""The way to a server, connection by connection: the sheet's, and ssh's own configuration where the sheet is silent.

Of ``~/.ssh/config`` and ``/etc/ssh/ssh_config``, with the files that they include, these count: HostName, IdentityFile,
ProxyJump and ProxyCommand; for jump hosts User and Port too. The sheet always says user and port of the server itself.
"""

from __future__ import annotations

import getpass
import glob
import io
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paramiko

from mailhost.errors import ConnectError
from mailhost.sheet import Jump, Sheet

SSH_PORT = 22
_FILES = ("~/.ssh/config", "/etc/ssh/ssh_config")
_KEYWORD = re.compile(r"\s*(?P<word>include|host|match)(?:\s+|\s*=\s*)(?P<rest>.*)", re.IGNORECASE)
_DEEPEST = 16  # files that include one another; ssh's own limit


@dataclass(frozen=True)
class Hop:
    """One connection on the way.

    host     a name or an address, what HostName makes of it
    keys     private key files that are tried, in this order
    only     whether no other keys are tried: neither the agent's nor those in ~/.ssh
    command  a command whose standard input and output lead there, in place of a connection from here
    where    what names it, for a person who has to correct that
    who      what names login and key
    """

    host: str
    user: str
    port: int
    keys: tuple[str, ...] = ()
    only: bool = False
    command: str = ""
    where: str = "ssh.host and ssh.port in the sheet"
    who: str = "ssh.user and ssh.key in the sheet"

    @property
    def at(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """``user@host:port``."""
        return f"{self.user}@{self.at}"


def hops(sheet: Sheet) -> tuple[Hop, ...]:
    """The connections that lead to the sheet's server, its own last.

    Raises ConnectError when ssh's configuration cannot be understood; nothing is connected to by then.
    """
    try:
        return tuple(_to_server(sheet))
    except (paramiko.SSHException, ValueError, KeyError, OSError) as error:
        raise ConnectError(
            f"{' or '.join(_FILES)} cannot be used for {sheet.ssh_host}: {error}",
            follows="the way to the server is not known; nothing was connected to.",
            remedy=f"correct the file (`ssh -G {sheet.ssh_host}` shows what ssh makes of it), or set ssh.host, ssh.key "
            "and ssh.jump in the sheet.",
        ) from error


def _to_server(sheet: Sheet) -> Iterator[Hop]:
    ssh = sheet.ssh
    said = _said_of(sheet.ssh_host, user=ssh.user, port=ssh.port)
    server = _with_key(Hop(_name(said), ssh.user, ssh.port, _identities(said)), ssh.key)
    if ssh.jump is None:
        yield from _led(server, said, (sheet.ssh_host,))
        return
    named = Jump.parse(ssh.jump)
    said = _said_of(named.host, user=named.user, port=named.port)
    user, port = said.get("user") or ssh.user, int(said.get("port") or SSH_PORT)
    jump = _with_key(
        Hop(
            _name(said),
            user,
            port,
            _identities(said),
            where="ssh.jump in the sheet",
            who="ssh.jump and ssh.key in the sheet",
        ),
        ssh.key,
    )
    yield from _led(jump, said, (sheet.ssh_host, named.host))
    yield server


def _led(hop: Hop, said: Mapping[str, Any], past: tuple[str, ...]) -> Iterator[Hop]:
    """A hop with what leads to it. ``past`` are names on the way already: `Host *` speaks of the jump host as well."""
    kind = next((key for key in said if key in ("proxyjump", "proxycommand")), "")
    value = str(said.get(kind) or "none")
    if value.lower() == "none":
        yield hop
    elif kind == "proxycommand":
        yield replace(hop, command=value)
    else:
        named = [Jump.parse(each.strip().removeprefix("ssh://")) for each in value.split(",")]
        if not any(each.host in past for each in named):
            for number, each in enumerate(named):
                yield from _jump(each, past, first=number == 0)
        yield hop


def _jump(named: Jump, past: tuple[str, ...], *, first: bool) -> Iterator[Hop]:
    """A jump host of ssh's configuration; only the first one is reached by a way of its own."""
    said = _said_of(named.host, user=named.user, port=named.port)
    user, port = said.get("user") or getpass.getuser(), int(said.get("port") or SSH_PORT)
    hop = Hop(
        _name(said),
        user,
        port,
        _identities(said),
        where="ProxyJump in ssh's configuration",
        who="User and IdentityFile in ssh's configuration",
    )
    yield from _led(hop, said, (*past, named.host)) if first else (hop,)


def _with_key(hop: Hop, key: str | None) -> Hop:
    return hop if key is None else replace(hop, keys=(key, *hop.keys), only=True)


def _name(said: Mapping[str, Any]) -> str:
    return str(said["hostname"])


def _identities(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The private keys that are there; ssh passes over the others in silence too."""
    return tuple(path for path in said.get("identityfile", ()) if Path(path).is_file())


def _said_of(host: str, *, user: str, port: int) -> Mapping[str, Any]:
    """What ssh's configuration says of a host, in its order, behind what is known already: the first word counts."""
    config = paramiko.SSHConfig()
    config.parse(io.StringIO((f"User {user}\n" if user else "") + (f"Port {port}\n" if port else "")))
    for file in _FILES:
        path = Path(file).expanduser()
        config.parse(io.StringIO("\n".join(_lines(path, path.parent))))
    said: Mapping[str, Any] = config.lookup(host)
    return said


def _lines(path: Path, folder: Path, depth: int = 0) -> Iterator[str]:
    """A file's lines with those of the files that it includes in their places; none where there is no such file."""
    if depth > _DEEPEST:
        msg = f"{path} includes itself"
        raise ValueError(msg)
    block = "Host *"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        found = _KEYWORD.fullmatch(line)
        if found is None or found["word"].lower() != "include":
            block = line if found else block
            yield line
            continue
        for pattern in shlex.split(found["rest"]):
            # as the shell does it, which passes over hidden files
            for included in sorted(glob.glob(str(folder / Path(pattern).expanduser()))):  # noqa: PTH207
                yield from _lines(Path(included), folder, depth + 1)
        yield block  # what was begun before goes on
