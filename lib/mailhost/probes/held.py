"""A session that stays open while something is done to the server, and is asked afterwards whether it lives."""

from __future__ import annotations

from mailhost.probes import imap, pop3
from mailhost.probes.dialogue import Conversation, Dialogue, Talk
from mailhost.probes.target import Target
from mailhost.probes.wire import Trust

_SECONDS = 45  # a login may have to wait for the delay after somebody's failed ones
_ANSWER = 20


def hold(target: Target, name: str, password: str, trust: Trust) -> Conversation:
    """Log in over TLS, open the mailbox, and stay, as idle as most people's programs: `ask` ends it."""
    held = Conversation(target, "held", _SECONDS)
    held.go(lambda talk: _enter(talk, name, password, trust))
    return held


def ask(held: Conversation) -> Dialogue:
    """Say NOOP in the same session, keep the answer, and end it."""
    if held.told().accepted:
        held.go(_noop, within=_ANSWER)
    held.close()
    return held.told()


def _enter(talk: Talk, name: str, password: str, trust: Trust) -> None:
    target = talk.wire.target
    if target.protocol == "imap":
        imap.begin(talk, trust)
        if not target.implicit_tls:
            imap.starttls(talk, trust)
        if imap.authenticate(talk, name, password):
            imap.select(talk)
        return
    pop3.begin(talk, trust)
    if not target.implicit_tls:
        pop3.stls(talk, trust)
    if pop3.authenticate(talk, name, password):
        pop3.count(talk)


def _noop(talk: Talk) -> None:
    if talk.wire.target.protocol == "imap":
        talk.learn(answered=imap.command(talk, "NOOP")[0])
        imap.leave(talk)
    else:
        talk.learn(answered=pop3.say(talk.wire, "NOOP", "the reply to NOOP"))
        pop3.leave(talk.wire)
