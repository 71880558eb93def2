"""POP3 dialogues, each one story: greet, refuse, login. Frozen results, no judgement."""

from __future__ import annotations

from contextlib import suppress

from mailhost.parse import dialogue as parse
from mailhost.parse.dialogue import Reply
from mailhost.probes.dialogue import Dialogue, Mechanism, Story, Talk, converse, sasl_plain, sayable
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
    mechanism: Mechanism = "USER/PASS",
    story: Story = "login",
    clear: bool = False,
    timeout: float = 45,
) -> Dialogue:
    """Log in over TLS, ask STAT, quit. ``clear`` leaves TLS out, for the loopback only.

    The password is sent only after the certificate was verified. ``story`` tells whose it is.
    """

    def steps(talk: Talk) -> None:
        begin(talk, trust)
        if not target.implicit_tls and not clear:
            stls(talk, trust)
        if authenticate(talk, name, password, mechanism):
            count(talk)
        leave(talk.wire)

    if clear and target.origin != "loopback":
        raise ValueError(f"a password must not go in clear to {target}")
    return converse(target, story, timeout, steps, mechanism)


def begin(talk: Talk, trust: Trust) -> None:
    """TLS where it comes first, then the greeting."""
    if talk.wire.target.implicit_tls:
        talk.wire.start_tls(trust)
    talk.learn(greeting=reply(talk.wire, "a greeting").raw)


def capabilities(talk: Talk) -> tuple[str, ...]:
    """Ask CAPA and keep the answer; empty when the server does not know it."""
    if not say(talk.wire, "CAPA", "the reply to CAPA").ok:
        return ()
    words = parse.pop3_capabilities(many(talk.wire, "the capabilities"))
    talk.learn_capabilities(words)
    return words


def stls(talk: Talk, trust: Trust) -> None:
    """Ask STLS and shake hands. Raises WireError when the server will not."""
    ask_stls(talk)
    talk.wire.start_tls(trust)


def ask_stls(talk: Talk) -> None:
    """Ask STLS; TLS begins with the next byte. Raises WireError when the server will not."""
    said = say(talk.wire, "STLS", "the reply to STLS")
    if not said.ok:
        raise WireError("tls", f"the server does not start TLS: {said.raw}")


def authenticate(talk: Talk, name: str, password: str, mechanism: Mechanism = "USER/PASS") -> bool:
    """USER and PASS, or AUTH PLAIN; whether the server said yes."""
    talk.wire.hide(password)
    if mechanism == "AUTH PLAIN":
        return talk.attempt("AUTH PLAIN", _auth_plain(talk.wire, name, password)).ok
    return (
        talk.attempt("USER", say(talk.wire, f"USER {name}", "the reply to USER")).ok
        and talk.attempt("PASS", _password(talk.wire, password)).ok
    )


def count(talk: Talk) -> int | None:
    """STAT: how many messages there are, and the proof that the mailbox opens."""
    said = say(talk.wire, "STAT", "the reply to STAT")
    messages = parse.stat_count(said)
    talk.learn(mailbox=said, messages=messages)
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
    return reply(wire, waiting_for)


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


def reply(wire: Wire, waiting_for: str) -> Reply:
    """The next status reply."""
    line = wire.line(waiting_for)
    found = parse.pop3_reply(line)
    if found is None:
        raise WireError("protocol", f"this is not POP3, instead of {waiting_for}: {line[:80]!r}")
    return found


def _clear_only(target: Target) -> Target:
    if target.implicit_tls:
        raise ValueError(f"{target} has no cleartext to refuse")
    return target
