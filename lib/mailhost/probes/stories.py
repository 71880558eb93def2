"""What a client does at many targets at once: each story is one function of (targets, login) to results.

A story that sends a password is given one by `Login`; the others leave it alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mailhost.probes import exchange as exchanges
from mailhost.probes import imap, offers, pop3
from mailhost.probes import reach as reaching
from mailhost.probes import starttls as crossing
from mailhost.probes import tls as handshakes
from mailhost.probes.dialogue import MECHANISMS, Dialogue, Mechanism, Story
from mailhost.probes.offers import Ciphers, Versions
from mailhost.probes.parallel import after_the_first, parallel
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


def starttls(targets: Sequence[Target], login: Login | None = None) -> list[Dialogue]:
    """Carry a command, and half a login, from clear text into TLS, as nobody should be able to."""
    return [*inject(targets), *resume(targets, login)]


def inject(targets: Sequence[Target], _login: Login | None = None) -> list[Dialogue]:
    """Carry a command from clear text into TLS."""
    return parallel([(crossing.inject, (target,)) for target in targets if not target.implicit_tls])


def resume(targets: Sequence[Target], login: Login | None = None) -> list[Dialogue]:
    """Carry half a login from clear text into TLS, with a wrong password."""
    name = login.name if login and login.name else nobody()
    guess = wrong_password()
    return parallel([(crossing.resume, (target, name, guess)) for target in targets if not target.implicit_tls])


def handshake(targets: Sequence[Target], login: Login | None = None) -> list[TlsSeen]:
    """``openssl s_client`` on each port.

    Whose roots are trusted is the login's to say.
    """
    return handshakes.look(targets, login.trust.roots if login else None)


def versions(targets: Sequence[Target], _login: Login | None = None) -> list[Versions]:
    """Ask each port for each version of TLS, by a hello of our own."""
    return offers.versions(targets)


def ciphers(targets: Sequence[Target], _login: Login | None = None) -> list[Ciphers]:
    """Find out what each service offers: suites and groups, by hellos of our own.

    At its first address only: the others lead to the same service, and each question costs it a connection.
    """
    first = {target.service: target for target in reversed(targets)}
    return offers.ciphers([target for target in targets if target is first[target.service]])


def leaves(seen: Iterable[TlsSeen]) -> tuple[str, ...]:
    """The fingerprints of the certificates that were served, each once."""
    return tuple(dict.fromkeys(one.leaf.sha256 for one in seen if one.leaf))


def login(targets: Sequence[Target], login: Login) -> list[Dialogue]:
    """Log in with the right password, and open the mailbox: over TLS, or in clear through SSH's loopback."""
    return after_the_first([(enter, (target, login)) for target in targets])


def enter(target: Target, login: Login, mechanism: Mechanism | None = None, story: Story = "login") -> Dialogue:
    """One login at one target, by its usual mechanism unless another is asked for."""
    told: Dialogue = _SPEAKERS[target.protocol].login(
        target,
        login.name,
        login.password,
        login.trust,
        mechanism=mechanism or MECHANISMS[target.protocol][0],
        story=story,
        clear=target.origin == "loopback" and not target.implicit_tls,
    )
    return told


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


def nobody() -> str:
    """The name of a user whom no server has."""
    return f"nobody-{secrets.token_hex(4)}"


def wrong_password() -> str:
    """A password that is nobody's."""
    return f"wrong-{secrets.token_hex(8)}"
