"""What a client does at many targets at once: each story is one function of (targets, login) to results.

A story that sends a password is given one by `Login`; the others leave it alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from mailhost.probes import exchange as exchanges
from mailhost.probes import imap, pop3
from mailhost.probes import reach as reaching
from mailhost.probes import tls as handshakes
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.parallel import parallel
from mailhost.probes.reach import Reach
from mailhost.probes.target import Target
from mailhost.probes.tls import TlsSeen
from mailhost.probes.wire import Trust

_SPEAKERS = {"pop3": pop3, "imap": imap}


@dataclass(frozen=True)
class Login:
    """Whom a client is, and whose certificate it believes."""

    name: str
    password: str = field(repr=False)
    trust: Trust = field(default_factory=Trust)


def reach(targets: Sequence[Target], _login: Login | None = None) -> list[Reach]:
    """Connect to each port."""
    return reaching.reach(targets)


def greet(targets: Sequence[Target], _login: Login | None = None) -> list[Dialogue]:
    """Greeting and capabilities, in clear and under TLS; no credentials."""
    return parallel([(_SPEAKERS[target.protocol].greet, (target,)) for target in targets])


def handshake(targets: Sequence[Target], login: Login | None = None) -> list[TlsSeen]:
    """``openssl s_client`` on each port.

    Whose roots are trusted is the login's to say.
    """
    return handshakes.look(targets, login.trust.roots if login else None)


def login(targets: Sequence[Target], login: Login) -> list[Dialogue]:
    """Log in with the right password, and open the mailbox: over TLS, or in clear through SSH's loopback."""

    def one(target: Target) -> Dialogue:
        clear = target.origin == "loopback" and not target.implicit_tls
        speaker = _SPEAKERS[target.protocol]
        told: Dialogue = speaker.login(target, login.name, login.password, login.trust, clear=clear)
        return told

    return parallel([(one, (target,)) for target in targets])


def wrong(targets: Sequence[Target], login: Login) -> list[Dialogue]:
    """Log in over TLS with a wrong password, all at once: each failure costs the caller's address seconds."""
    guess = wrong_password()
    return parallel(
        [(_SPEAKERS[target.protocol].wrong, (target, login.name, guess, login.trust)) for target in targets]
    )


def refuse(targets: Sequence[Target], login: Login) -> list[Dialogue]:
    """Try to log in without TLS, with a wrong password: the right one must never cross the network."""
    guess = wrong_password()
    return parallel([(_SPEAKERS[target.protocol].refuse, (target, login.name, guess)) for target in targets])


def exchange(targets: Sequence[Target], login: Login) -> list[Dialogue]:
    """A message in by IMAP, back by IMAP and POP3, and removed: one after the other of the ways in that pair up.

    Targets pair up by being implicit TLS or not, at the same address.
    """
    told: list[Dialogue] = []
    for target in targets:
        if target.protocol != "imap":
            continue
        partner = next(
            (
                other
                for other in targets
                if other.protocol == "pop3"
                and other.implicit_tls == target.implicit_tls
                and other.address == target.address
            ),
            None,
        )
        clear = target.origin == "loopback" and not target.implicit_tls
        told += exchanges.exchange(target, partner, login.name, login.password, login.trust, clear=clear).dialogues
    return told


def wrong_password() -> str:
    """A password that is nobody's."""
    return f"wrong-{secrets.token_hex(8)}"
