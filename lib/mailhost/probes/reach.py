"""Which ports can be reached, found by connecting to them, all at once. Nothing is guessed."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mailhost.probes.parallel import parallel
from mailhost.probes.target import Target
from mailhost.probes.wire import as_text

State = Literal["open", "refused", "timeout", "unreachable", "unknown"]
# A firewall that rejects says so by ICMP: that arrives as "no route to host", on IPv6 as "permission denied".
_UNREACHABLE = {errno.EHOSTUNREACH, errno.EACCES, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
_GREETING = 512  # bytes


@dataclass(frozen=True)
class Reach:
    """What came of one connect.

    state     ``refused`` is the server's own answer, ``timeout`` none within the time, ``unreachable`` that
              of a firewall which rejects, or of a network without a way there
    reason    why it is not open, in words; empty when it is
    ms        how long it took
    greeting  the first words where the service speaks first; a port may be open and silent
    evidence  numbers of transcript entries
    """

    target: Target
    state: State
    reason: str = ""
    ms: int = 0
    greeting: str = ""
    evidence: tuple[int, ...] = ()


def reach(targets: Iterable[Target], timeout: float = 5) -> list[Reach]:
    """Connect to each target, in parallel; at most ``timeout`` seconds each, and 2 more for a greeting."""
    return parallel([(_one, (target, timeout)) for target in targets])


def from_jump(target: Target, said: str, ms: int) -> Reach:
    """What ``Host.reach_from_jump`` said about a target, as a result like the others."""
    state, _, reason = said.partition(": ")
    if state == "open":
        return Reach(target, "open", ms=ms)
    if state == "refused":
        return Reach(target, "refused", "connection refused, seen from the jump host", ms)
    if state == "timeout":
        return Reach(target, "timeout", "no answer in time, seen from the jump host", ms)
    return Reach(target, "unknown", reason or said, ms)


def _one(target: Target, timeout: float) -> Reach:
    started = time.monotonic()

    def spent() -> int:
        return round((time.monotonic() - started) * 1000)

    try:
        connection = socket.create_connection(target.endpoint, timeout=timeout)
    except OSError as error:
        return Reach(target, *_state(error, timeout), spent())
    ms = spent()
    with connection:
        greeting, why = ("", "") if target.implicit_tls else _greeting(connection, min(timeout, 2.0))
    if target.via is not None and not greeting:
        # A forwarded local port accepts whatever is behind it: only words prove that somebody is there.
        return Reach(target, "unknown", f"the way through SSH accepts by itself and nothing came back{why}", ms)
    return Reach(target, "open", "", ms, greeting)


def _state(error: OSError, timeout: float) -> tuple[State, str]:
    if isinstance(error, TimeoutError):
        return "timeout", f"no answer within {timeout:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "connection refused"
    if error.errno in _UNREACHABLE:
        return "unreachable", error.strerror or str(error)
    return "unknown", error.strerror or str(error)


def _greeting(connection: socket.socket, timeout: float) -> tuple[str, str]:
    """The first bytes as text, and why there are none."""
    connection.settimeout(timeout)
    try:
        data = connection.recv(_GREETING)
    except OSError as error:
        return "", f": {error}"
    first = data.splitlines()
    return (as_text(first[0]), "") if first else ("", ": it was closed without a word")
