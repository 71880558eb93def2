"""Which TLS versions, cipher suites and groups a server offers: it is asked for each, until it refuses.

A hello is sent, the answer read, and the connection dropped before any key is made. A refusal is the server's own: an
alert that says so, a lower version than asked for, or (where the same port agrees on another version) closing the
connection upon the hello, twice or at two addresses. Anything else leaves it open what is offered.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mailhost.probes import imap, pop3
from mailhost.probes.dialogue import Talk
from mailhost.probes.hello import VERSIONS, Answer, MalformedError, client_hello, read_answer
from mailhost.probes.parallel import parallel
from mailhost.probes.suites import GROUPS, SUITES
from mailhost.probes.target import Target
from mailhost.probes.wire import ANYONE, Wire, WireError

# internal_error is what OpenSSL says when its security level leaves it nothing to sign an old version with
_REFUSALS = ("protocol_version", "handshake_failure", "insufficient_security", "internal_error")
_PATIENCE = 4  # times the limit of one question, for a whole chain of them
_AT_ONCE = 8  # connections to one service: its login processes are limited
_TLS13 = tuple(code for code in SUITES if code >> 8 == 0x13)  # noqa: PLR2004 - where all of TLS 1.3 is
_OLDER = tuple(code for code in SUITES if code not in _TLS13)
_STRONG = tuple(code for code in GROUPS if code >= 23)  # noqa: PLR2004 - secp256r1, the first that is recommended
_MODERN = re.compile(r"AES_\d+_(?:GCM|CCM)|CHACHA20")
_WEAK = tuple(code for code in GROUPS if code not in _STRONG)
# The curves of certificates: without its own a server cannot use its EC certificate. Last, to be chosen last.
_CERTIFICATES = tuple(code for code in GROUPS if 23 <= code <= 25)  # noqa: PLR2004 - secp256r1 to secp521r1
_FINITE = tuple(code for code in GROUPS if 256 <= code <= 260)  # noqa: PLR2004 - the ffdhe groups


@dataclass(frozen=True)
class Reply:
    """What came of one hello.

    answer  ``agreed`` on what was asked for, ``refused`` by the server's own word, or ``unknown``
    how     in words: what was chosen, how it was refused, or why nobody knows
    """

    answer: Literal["agreed", "refused", "unknown"]
    how: str
    version: str = ""
    suite: int = 0
    group: str = ""


@dataclass(frozen=True)
class Versions:
    """The reply for each version, the oldest first."""

    target: Target
    replies: tuple[tuple[str, Reply], ...]
    evidence: tuple[int, ...] = ()

    @property
    def offered(self) -> tuple[str, ...]:
        """The versions that the server agrees on."""
        return tuple(version for version, reply in self.replies if reply.answer == "agreed")

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be found out, with the reason."""
        return tuple(f"{version}: {reply.how}" for version, reply in self.replies if reply.answer == "unknown")


@dataclass(frozen=True)
class Ciphers:
    """Suites and groups that the server agrees on.

    suites    names by IANA; TLS 1.3's first
    groups    of TLS 1.3 all, before it those that it chose or that are weak; ``DH 2048 bits`` has no name
    unknown   why there may be more
    said      each hello and its reply, in words
    """

    target: Target
    suites: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    said: tuple[str, ...] = field(default=(), repr=False)
    evidence: tuple[int, ...] = ()


def versions(targets: Sequence[Target], *, timeout: float = 15) -> list[Versions]:
    """Ask each target for each version, with every suite and group that there is."""
    calls = [
        (_ask, (target, version, _for(version), tuple(GROUPS), timeout)) for version in VERSIONS for target in targets
    ]
    replies = parallel(calls, workers=_workers(targets))
    # a service that hangs up on the same version at each of its addresses has been asked twice already
    asked = [(version, target.service) for version in VERSIONS for target in targets]
    closed = Counter(key for key, reply in zip(asked, replies, strict=True) if reply.how == _CLOSED)
    once = [n for n, reply in enumerate(replies) if reply.how == _CLOSED and closed[asked[n]] == 1]
    for n, reply in zip(once, parallel([calls[n] for n in once], workers=_workers(targets)), strict=True):
        replies[n] = reply
    return [
        Versions(target, tuple(zip(VERSIONS, _believed(replies[n :: len(targets)]), strict=True)))
        for n, target in enumerate(targets)
    ]


def _believed(replies: Sequence[Reply]) -> list[Reply]:
    """Hanging up is a refusal only of a server that agrees on something else: others may hang up on everybody."""
    if any(reply.answer == "agreed" for reply in replies):
        return list(replies)
    return [replace(reply, answer="unknown") if reply.how == _CLOSED else reply for reply in replies]


def ciphers(targets: Sequence[Target], *, timeout: float = 15) -> list[Ciphers]:
    """Find out every suite and group at each target: what it chooses is left out the next time, until it refuses.

    ``timeout`` is for one question; a chain of them has four times that, since busy servers take their time.
    """
    kinds = _kinds()
    calls = [(_chain, (target, kind, timeout)) for kind in kinds for target in targets]
    chains = parallel(calls, workers=_workers(targets))
    return [_gathered(target, chains[n :: len(targets)]) for n, target in enumerate(targets)]


def ask(target: Target, version: str, suites: Sequence[int], groups: Sequence[int], timeout: float = 10) -> Reply:
    """Send one hello and read the reply. A connection that is closed upon it is tried once more."""
    first = _ask(target, version, suites, groups, timeout)
    return _ask(target, version, suites, groups, timeout) if first.how == _CLOSED else first


_CLOSED = "closes the connection upon the hello"


def _ask(target: Target, version: str, suites: Sequence[int], groups: Sequence[int], timeout: float) -> Reply:
    heard = 0

    def take(size: int) -> bytes:
        nonlocal heard
        data = wire.exactly(size, "an answer to the hello")
        heard += size
        return data

    hello = client_hello(version, suites, groups, "" if _is_address(target.name) else target.name)
    try:
        wire = Wire(target, timeout)
    except WireError as why:
        return Reply("unknown", str(why))
    greeted = False
    try:
        if not target.implicit_tls:
            _start(wire)
        greeted = True
        wire.send_bytes(hello)
        return _judged(version, suites, read_answer(take))
    except WireError as why:
        if greeted and why.broke == "closed" and not heard and not wire.pending:
            return Reply("refused", _CLOSED)
        return Reply("unknown", str(why))
    except MalformedError as why:
        return Reply("unknown", str(why))
    finally:
        wire.close()


def _judged(version: str, suites: Sequence[int], said: Answer) -> Reply:
    if said.alert:
        return Reply("refused" if said.alert in _REFUSALS else "unknown", f"alert {said.alert}")
    how = f"{said.version} {said.suite_name}" + (f" {said.group}" if said.group else "")
    chosen = Reply("agreed", how, said.version, said.suite, said.group)
    if said.suite not in suites or VERSIONS[said.version] > VERSIONS[version]:
        # no answer to what was asked, so that it refuses nothing
        return replace(chosen, answer="unknown", how=f"chooses {how}, which was not offered")
    return chosen if said.version == version else replace(chosen, answer="refused", how=f"chooses {how}")


def _start(wire: Wire) -> None:
    """STARTTLS or STLS, up to where TLS begins."""
    talk = Talk(wire)
    if wire.target.protocol == "pop3":
        pop3.begin(talk, ANYONE)
        pop3.ask_stls(talk)
    else:
        imap.begin(talk, ANYONE)
        imap.ask_starttls(talk)


@dataclass(frozen=True)
class _Chain:
    suites: tuple[int, ...]
    groups: tuple[str, ...]
    said: tuple[str, ...]
    unknown: str = ""


@dataclass(frozen=True)
class _Kind:
    """What one chain of hellos asks for, and what of it is left out once it was chosen."""

    version: str
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    drop: Literal["suite", "group"]

    def __str__(self) -> str:
        return f"{self.version}, {len(self.suites)} suites, {len(self.groups)} groups"

    def without(self, reply: Reply) -> _Kind | None:
        """The rest after this choice; None when that was not offered."""
        if self.drop == "suite":
            left = tuple(code for code in self.suites if code != reply.suite)
            return replace(self, suites=left) if left != self.suites else None
        left = tuple(code for code in self.groups if GROUPS[code] != reply.group)
        return replace(self, groups=left) if left != self.groups else None


def _chain(target: Target, kind: _Kind, timeout: float) -> _Chain:
    """Ask again and again without what was chosen, until the server refuses or the time is over."""
    until = time.monotonic() + _PATIENCE * timeout
    found: list[Reply] = []
    said: list[str] = []
    unknown = ""
    while kind.suites and kind.groups:
        seconds = min(timeout, max(until - time.monotonic(), 0.1))
        reply = ask(target, kind.version, kind.suites, kind.groups, seconds)
        said.append(f"{kind}: {reply.how}")
        if reply.answer == "unknown":
            unknown = said[-1]
            break
        if not reply.version or (reply.version == "TLSv1.3") != (kind.version == "TLSv1.3"):
            break
        left = kind.without(reply)
        if left is None:
            unknown = f"{said[-1]}, which was not offered"
            break
        found.append(reply)
        kind = left
    return _Chain(tuple(reply.suite for reply in found), tuple(r.group for r in found if r.group), tuple(said), unknown)


def _kinds() -> tuple[_Kind, ...]:
    """What is asked for, in several chains, so that none gets long."""
    curves = tuple(code for code in _OLDER if SUITES[code].startswith("TLS_ECDHE"))
    modern = tuple(code for code in curves if _MODERN.search(SUITES[code]))
    rest = tuple(code for code in _OLDER if code not in curves)
    every = (*_STRONG, *_WEAK)
    return (
        _Kind("TLSv1.2", modern, every, "suite"),
        _Kind("TLSv1.2", tuple(code for code in curves if code not in modern), every, "suite"),
        _Kind("TLSv1.2", rest, every, "suite"),
        _Kind("TLSv1.2", curves, (*_WEAK, *_CERTIFICATES), "group"),
        _Kind("TLSv1.3", _TLS13, _STRONG, "suite"),
        _Kind("TLSv1.3", _TLS13, tuple(code for code in _STRONG if code not in _FINITE), "group"),
        _Kind("TLSv1.3", _TLS13, _FINITE, "group"),
    )


def _gathered(target: Target, chains: Iterable[_Chain]) -> Ciphers:
    listed = list(chains)
    suites = {code for chain in listed for code in chain.suites}
    groups = {group for chain in listed for group in chain.groups}
    order = [*GROUPS.values()]
    return Ciphers(
        target,
        suites=tuple(SUITES[code] for code in SUITES if code in suites),
        groups=tuple(sorted(groups, key=lambda g: (order.index(g) if g in order else len(order), g))),
        unknown=tuple(dict.fromkeys(chain.unknown for chain in listed if chain.unknown)),
        said=tuple(line for chain in listed for line in chain.said),
    )


def _for(version: str) -> tuple[int, ...]:
    return _TLS13 if version == "TLSv1.3" else _OLDER


def _workers(targets: Sequence[Target]) -> int:
    return min(16, _AT_ONCE * max(1, len({target.service for target in targets})))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
