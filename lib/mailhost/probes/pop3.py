"""POP3 dialogues, each one story: greet, refuse, login, wrong. Frozen results, no judgement."""

from __future__ import annotations

from contextlib import suppress

from mailhost.parse import dialogue as parse
from mailhost.parse.dialogue import Reply
from mailhost.probes.dialogue import Dialogue, Talk, converse, sasl_plain, sayable
from mailhost.probes.target import Target
from mailhost.probes.wire import ANYONE, Trust, Wire, WireError


def greet(target: Target, *, timeout: float = 15) -> Dialogue:
    """Greeting and capabilities, in clear and under TLS; no credentials."""

    def steps(talk: Talk) -> None:
        begin(talk, ANYONE)
        if not target.implicit_tls and "STLS" in capabilities(talk):
            stls(talk, ANYONE)
        if talk.secured:
            capabilities(talk)
        leave(talk.wire)

    return converse(target, "greet", timeout, steps)


def refuse(target: Target, name: str, wrong_password: str | None = None, *, timeout: float = 20) -> Dialogue:
    """Try to log in without TLS, as the server should refuse: USER, and AUTH PLAIN with a wrong password.

    Without a wrong password only USER is said. A right one must never be given: it would cross the network.
    """

    def steps(talk: Talk) -> None:
        begin(talk, ANYONE)
        capabilities(talk)
        accepted = talk.attempt("USER", say(talk.wire, f"USER {name}", "the reply to USER")).ok
        if wrong_password is not None and accepted:
            talk.attempt("PASS", _password(talk.wire, wrong_password))
        elif wrong_password is not None:
            talk.attempt("AUTH PLAIN", _auth_plain(talk.wire, name, wrong_password))
        leave(talk.wire)

    return converse(_clear_only(target), "refuse", timeout, steps)


def login(
    target: Target,
    name: str,
    password: str,
    trust: Trust,
    *,
    clear: bool = False,
    wrong: bool = False,
    timeout: float = 45,
) -> Dialogue:
    """Log in by USER and PASS over TLS, ask STAT, quit. ``clear`` leaves TLS out, for the loopback only.

    The password is sent only after the certificate was verified. ``wrong`` says that it is wrong on purpose.
    """

    def steps(talk: Talk) -> None:
        begin(talk, trust)
        if not target.implicit_tls and not clear:
            stls(talk, trust)
        if authenticate(talk, name, password):
            count(talk)
        leave(talk.wire)

    if clear and target.origin != "loopback":
        raise ValueError(f"a password must not go in clear to {target}")
    return converse(target, "wrong" if wrong else "login", timeout, steps)


def wrong(target: Target, name: str, wrong_password: str, trust: Trust, *, timeout: float = 45) -> Dialogue:
    """Log in over TLS with a wrong password, as the server should refuse."""
    return login(target, name, wrong_password, trust, wrong=True, timeout=timeout)


def begin(talk: Talk, trust: Trust) -> None:
    """TLS where it comes first, then the greeting."""
    if talk.wire.target.implicit_tls:
        talk.wire.start_tls(trust)
    talk.learn(greeting=_reply(talk.wire, "a greeting").raw)


def capabilities(talk: Talk) -> tuple[str, ...]:
    """Ask CAPA and keep the answer; empty when the server does not know it."""
    if not say(talk.wire, "CAPA", "the reply to CAPA").ok:
        return ()
    words = parse.pop3_capabilities(many(talk.wire, "the capabilities"))
    talk.learn_capabilities(words)
    return words


def stls(talk: Talk, trust: Trust) -> None:
    """Ask STLS and shake hands. Raises WireError when the server will not."""
    reply = say(talk.wire, "STLS", "the reply to STLS")
    if not reply.ok:
        raise WireError("tls", f"the server does not start TLS: {reply.raw}")
    talk.wire.start_tls(trust)


def authenticate(talk: Talk, name: str, password: str) -> bool:
    """USER and PASS; whether the server said yes."""
    talk.wire.hide(password)
    return (
        talk.attempt("USER", say(talk.wire, f"USER {name}", "the reply to USER")).ok
        and talk.attempt("PASS", _password(talk.wire, password)).ok
    )


def count(talk: Talk) -> int | None:
    """STAT: how many messages there are, and the proof that the mailbox opens."""
    reply = say(talk.wire, "STAT", "the reply to STAT")
    messages = parse.stat_count(reply)
    talk.learn(mailbox=reply, messages=messages)
    return messages


def many(wire: Wire, waiting_for: str, *, record: bool = True) -> list[str]:
    """The lines of a multi-line reply, without the dot that ends it."""
    lines: list[str] = []
    while (line := wire.line(waiting_for, record=record)) != ".":
        lines.append(line.removeprefix("."))
    return lines


def say(wire: Wire, command: str, waiting_for: str, *, shown: str | None = None) -> Reply:
    """One command and its status reply."""
    wire.send(command, shown=shown)
    return _reply(wire, waiting_for)


def leave(wire: Wire) -> None:
    """QUIT; a farewell that stays away takes nothing from what was learnt."""
    with suppress(WireError):
        say(wire, "QUIT", "a farewell")


def _password(wire: Wire, password: str) -> Reply:
    sayable(password)
    wire.hide(password)
    return say(wire, f"PASS {password}", "the reply to PASS", shown="PASS ***")


def _auth_plain(wire: Wire, name: str, password: str) -> Reply:
    sayable(password)
    message = sasl_plain(wire, name, password)
    return say(wire, f"AUTH PLAIN {message}", "the reply to AUTH PLAIN", shown="AUTH PLAIN ***")


def _reply(wire: Wire, waiting_for: str) -> Reply:
    line = wire.line(waiting_for)
    reply = parse.pop3_reply(line)
    if reply is None:
        raise WireError("protocol", f"this is not POP3, instead of {waiting_for}: {line[:80]!r}")
    return reply


def _clear_only(target: Target) -> Target:
    if target.implicit_tls:
        raise ValueError(f"{target} has no cleartext to refuse")
    return target
