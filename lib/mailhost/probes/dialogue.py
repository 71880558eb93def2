"""What a conversation with a mail server came to, and the helper that keeps it while it is under way.

A `Dialogue` is complete whatever happened: what was learnt before a connection broke stays, ``error`` says
why the rest is missing, and all that depends on the rest is unknown.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mailhost.parse.dialogue import Reply, needs_tls
from mailhost.probes.target import Protocol, Target
from mailhost.probes.wire import Broke, Line, TlsUsed, Wire, WireError
from mailhost.redact import redact
from mailhost.transcript import now

Story = Literal["greet", "refuse", "login", "wrong", "unknown", "expired", "exchange", "inject", "resume", "held"]
Method = Literal["USER", "PASS", "AUTH PLAIN", "LOGIN", "AUTHENTICATE PLAIN"]
Mechanism = Literal["USER/PASS", "AUTH PLAIN", "LOGIN", "AUTHENTICATE PLAIN"]
MECHANISMS: dict[Protocol, tuple[Mechanism, Mechanism]] = {
    "pop3": ("USER/PASS", "AUTH PLAIN"),
    "imap": ("LOGIN", "AUTHENTICATE PLAIN"),
}


@dataclass(frozen=True)
class Attempt:
    """One step of a login and the server's answer; ``secured`` tells whether TLS was on.

    ``alerts`` are the untagged lines (``* BAD [ALERT] ...``) that came before the answer.
    """

    method: Method
    secured: bool
    reply: Reply
    ms: int
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialogue:
    """What was said between the client and one service.

    started   UTC time of the connect; the milliseconds of the lines count from it
    error     why it could not run or broke off; ``broke`` is the kind of that. None when it ran to its end
    capabilities_before, capabilities_after   as announced in clear, and under TLS; None when not asked or not told
    attempts  login steps, in order
    mailbox   the answer to STAT or SELECT; ``messages`` is the count in it
    token     the mark of the message that the exchange stored
    stored, read, removed   what became of that message here; None when it did not come to it
    agreed    whether the server said yes to STARTTLS with another command in its packet; ``early`` is what came
              with that yes
    carried   what the server answered under TLS to what was begun in clear; None when it did not come to that
    mechanism   how a login was tried where it was tried in one way only
    untried   why it was not tried at all; empty when it was
    answered  the answer to NOOP of a session that was held open; None when there was none
    evidence  numbers of transcript entries
    """

    target: Target
    story: Story
    started: str
    lines: tuple[Line, ...] = ()
    error: str | None = None
    broke: Broke = ""
    greeting: str = ""
    capabilities_before: tuple[str, ...] | None = None
    capabilities_after: tuple[str, ...] | None = None
    tls: TlsUsed | None = None
    attempts: tuple[Attempt, ...] = ()
    mailbox: Reply | None = None
    messages: int | None = None
    token: str = ""
    stored: bool | None = None
    read: bool | None = None
    removed: bool | None = None
    agreed: bool = False
    early: str = ""
    carried: tuple[str, ...] | None = None
    mechanism: Mechanism | None = None
    untried: str = ""
    answered: Reply | None = None
    evidence: tuple[int, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The step that decided the login; None when it did not come to one."""
        return self.attempts[-1] if self.attempts else None

    @property
    def accepted(self) -> bool:
        """Whether the server took the credentials and opened the mailbox: the positive control."""
        return self.logged_in and self.mailbox is not None and self.mailbox.ok

    @property
    def logged_in(self) -> bool:
        """Whether the server said yes to the credentials; the mailbox may be broken all the same."""
        return self.last is not None and self.last.reply.ok and self.last.method != "USER"

    @property
    def listened(self) -> bool:
        """Whether the server looked at credentials: it took them, or refused them as wrong ones."""
        return any(self.took_up(attempt) for attempt in self.attempts if attempt.method != "USER")

    def took_up(self, attempt: Attempt) -> bool:
        """Whether the server took a step of a login up: by accepting it, or by looking at the password."""
        if attempt.reply.ok or attempt.reply.key == "AUTHENTICATIONFAILED":
            return True
        # POP3 has one code for both; [AUTH] with other words than those of a refusal means that it looked.
        return self.target.protocol == "pop3" and attempt.reply.key == "AUTH" and not needs_tls("pop3", attempt.reply)

    def rows(self) -> list[dict[str, Any]]:
        """The dialogue as a table: when, who, what."""
        return [{"ms": line.ms, "who": line.who, "what": line.text} for line in self.lines]


@dataclass
class Talk:
    """A conversation under way: its wire, and what it has learnt so far (names as in `Dialogue`)."""

    wire: Wire
    learnt: dict[str, Any] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    tags: int = 0

    @property
    def secured(self) -> bool:
        """Whether TLS is on."""
        return self.wire.tls is not None

    def learn(self, **values: Any) -> None:
        """Keep what is now known."""
        self.learnt |= values

    def learn_capabilities(self, words: tuple[str, ...]) -> None:
        """Keep capabilities as those before or after TLS, whichever it is."""
        self.learn(**{"capabilities_after" if self.secured else "capabilities_before": words})

    def attempt(self, method: Method, reply: Reply, alerts: tuple[str, ...] = ()) -> Reply:
        """Keep a step of the login; passes the reply on."""
        self.attempts.append(Attempt(method, self.secured, reply, self.wire.lines[-1].ms, alerts))
        return reply


class Conversation:
    """A conversation that may pause between its steps; what breaks becomes the dialogue's error and is not raised."""

    def __init__(self, target: Target, story: Story, timeout: float, mechanism: Mechanism | None = None) -> None:
        self.target = target
        self._story = story
        self._mechanism = mechanism
        self._started = now()
        self._error: str | None = None
        self._broke: Broke = ""
        self._talk: Talk | None = None
        try:
            self._talk = Talk(Wire(target, timeout))
        except WireError as why:
            self._error, self._broke = str(why), why.broke

    def go(self, steps: Callable[[Talk], None], *, within: float | None = None) -> None:
        """Go through these steps, ``within`` seconds from now where it says so; nothing once it has broken off."""
        if self._talk is None or self._error is not None:
            return
        if within is not None:
            self._talk.wire.allow(within)
        try:
            steps(self._talk)
        except WireError as why:
            self._error, self._broke = redact(str(why)), why.broke

    def close(self) -> None:
        """Hang up."""
        if self._talk is not None:
            self._talk.wire.close()

    def told(self) -> Dialogue:
        """What it has come to so far."""
        if self._talk is None:
            return Dialogue(
                self.target, self._story, self._started, error=self._error, broke=self._broke, mechanism=self._mechanism
            )
        return Dialogue(
            self.target,
            self._story,
            self._started,
            lines=tuple(self._talk.wire.lines),
            error=self._error,
            broke=self._broke,
            tls=self._talk.wire.tls,
            attempts=tuple(self._talk.attempts),
            mechanism=self._mechanism,
            **self._talk.learnt,
        )


def converse(
    target: Target,
    story: Story,
    timeout: float,
    steps: Callable[[Talk], None],
    mechanism: Mechanism | None = None,
) -> Dialogue:
    """Connect, go through the steps, hang up."""
    conversation = Conversation(target, story, timeout, mechanism)
    try:
        conversation.go(steps)
    finally:
        conversation.close()
    return conversation.told()


def sasl_plain(wire: Wire, name: str, password: str) -> str:
    """The SASL PLAIN message for these credentials (RFC 4616), hidden from the record."""
    message = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
    wire.hide(message)
    return message


def sayable(password: str) -> None:
    """Refuse a password that would end the line it stands in. Raises WireError."""
    if any(sign in password for sign in "\r\n\0"):
        raise WireError("protocol", "the password has a line break or a NUL in it, which no mail client can send")
