"""What a known_hosts file says of a server's key, as ssh reads it: text in, judgement out.

https://man.openbsd.org/sshd.8#SSH_KNOWN_HOSTS_FILE_FORMAT; lines of ``@cert-authority`` vouch for no key here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_MARKERS = ("@cert-authority", "@revoked")
_WITH_PORT = re.compile(r"\[(?P<host>.*)\]:\d+")

State = Literal["known", "unknown", "changed", "revoked"]


@dataclass(frozen=True)
class Key:
    """A server's public key: ``ssh-ed25519`` and the like, and what stands behind it."""

    kind: str
    blob: bytes

    def __str__(self) -> str:
        """``ssh-ed25519 SHA256:...``, as ssh-keygen -l shows it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"{self.kind} SHA256:{digest}"


@dataclass(frozen=True)
class Line:
    """One line that names a key."""

    number: int
    marker: str
    names: tuple[str, ...]
    key: Key

    def speaks_of(self, name: str) -> bool:
        """Whether the line is about this server; a name behind ``!`` says that it is not."""
        name = name.lower()
        if any(_matches(name, each[1:]) for each in self.names if each.startswith("!")):
            return False
        return any(_matches(name, each) for each in self.names)

    @property
    def has_pattern(self) -> bool:
        """Whether it may speak of other servers too."""
        return any(character in each for each in self.names for character in "*?!")


@dataclass(frozen=True)
class Judgement:
    """What is known of a key, and the lines that say so."""

    state: State
    lines: tuple[Line, ...] = ()


def read(text: str) -> tuple[Line, ...]:
    """The lines of a file that name a key; what is none is passed over, as ssh does it."""
    found = (_line(number, line.split()) for number, line in enumerate(text.splitlines(), 1))
    return tuple(line for line in found if line is not None)


def judge(lines: Iterable[Line], name: str, key: Key) -> Judgement:
    """What the lines say of the key that a server shows; its name is ``host``, or ``[host]:port`` off port 22.

    Off port 22 a line without the port vouches for its key too, and says nothing against another one.
    """
    lines = tuple(lines)
    named, hosts = ([line for line in lines if line.speaks_of(each)] for each in (name, _without_port(name)))
    revoked = [line for line in (*named, *hosts) if line.marker == "@revoked" and line.key == key]
    if revoked:
        return Judgement("revoked", tuple(revoked[:1]))
    vouching = [line for line in (*named, *hosts) if not line.marker and line.key == key]
    if vouching:
        return Judgement("known", tuple(vouching[:1]))
    others = [line for line in named if not line.marker]
    alike = [line for line in others if line.key.kind == key.kind] or others
    return Judgement("changed" if others else "unknown", tuple(alike))


def kinds(lines: Iterable[Line], name: str) -> frozenset[str]:
    """The kinds of key that are known of a server: it is asked for one of them."""
    names = (name, _without_port(name))
    return frozenset(line.key.kind for line in lines if not line.marker and any(map(line.speaks_of, names)))


def _line(number: int, words: list[str]) -> Line | None:
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#") or (marker and marker not in _MARKERS):  # noqa: PLR2004
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    return Line(number, marker, tuple(each for each in words[0].split(",") if each), Key(words[1], blob))


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("|1|"):
        return _is_hash_of(name, pattern)
    # * and ? alone mean something; [ stands for itself, as in [host]:2222
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern.lower())
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None


def _is_hash_of(name: str, hashed: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed.removeprefix("|1|").split("|"))
    except (binascii.Error, ValueError):
        return False
    # HashKnownHosts hides names; nobody relies on the strength of its SHA-1
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def _without_port(name: str) -> str:
    found = _WITH_PORT.fullmatch(name)
    return found["host"] if found else name
