"""IMAP dialogues, each one story: greet, refuse, login. Frozen results, no judgement."""

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
        if not target.implicit_tls and "STARTTLS" in capabilities(talk):
            starttls(talk, ANYONE)
        if talk.secured:
            capabilities(talk)
        leave(talk)

    return converse(target, "greet", timeout, steps)


def refuse(target: Target, name: str, wrong_password: str, *, timeout: float = 20) -> Dialogue:
    """Try to log in without TLS and with a wrong password, as the server should refuse: LOGIN, AUTHENTICATE PLAIN.

    A right password must never be given: it would cross the network. The second way is not tried when the
    server listened to the first: each failed login costs the caller's address seconds.
    """

    def steps(talk: Talk) -> None:
        begin(talk, ANYONE)
        words = capabilities(talk)
        first = _login(talk, name, wrong_password)
        if first.key == "PRIVACYREQUIRED":
            _authenticate_plain(talk, name, wrong_password, initial="SASL-IR" in words)
        leave(talk)

    if target.implicit_tls:
        raise ValueError(f"{target} has no cleartext to refuse")
    return converse(target, "refuse", timeout, steps)


def login(
    target: Target,
    name: str,
    password: str,
    trust: Trust,
    *,
    mechanism: Mechanism = "LOGIN",
    story: Story = "login",
    clear: bool = False,
    timeout: float = 45,
) -> Dialogue:
    """Log in over TLS, SELECT INBOX, log out. ``clear`` leaves TLS out, for the loopback only.

    The password is sent only after the certificate was verified. ``story`` tells whose it is.
    """

    def steps(talk: Talk) -> None:
        begin(talk, trust)
        if not target.implicit_tls and not clear:
            starttls(talk, trust)
        if authenticate(talk, name, password, mechanism):
            select(talk)
        leave(talk)

    if clear and target.origin != "loopback":
        raise ValueError(f"a password must not go in clear to {target}")
    return converse(target, story, timeout, steps, mechanism)


def begin(talk: Talk, trust: Trust) -> None:
    """TLS where it comes first, then the greeting."""
    if talk.wire.target.implicit_tls:
        talk.wire.start_tls(trust)
    line = talk.wire.line("a greeting")
    reply = parse.imap_reply(line)
    if reply is None:
        raise WireError("protocol", f"this is not IMAP, instead of a greeting: {line[:80]!r}")
    talk.learn(greeting=line)
    if not reply.ok:
        raise WireError("protocol", f"the server greets with: {line[:200]}")


def capabilities(talk: Talk) -> tuple[str, ...]:
    """Ask CAPABILITY and keep the answer."""
    reply, lines = command(talk, "CAPABILITY")
    words = next((found for line in lines if (found := parse.imap_capabilities(line)) is not None), None)
    if not reply.ok or words is None:
        return ()
    talk.learn_capabilities(words)
    return words


def starttls(talk: Talk, trust: Trust) -> None:
    """Ask STARTTLS and shake hands. Raises WireError when the server will not."""
    ask_starttls(talk)
    talk.wire.start_tls(trust)


def ask_starttls(talk: Talk) -> None:
    """Ask STARTTLS; TLS begins with the next byte. Raises WireError when the server will not."""
    reply, _ = command(talk, "STARTTLS")
    if not reply.ok:
        raise WireError("tls", f"the server does not start TLS: {reply.raw}")


def authenticate(talk: Talk, name: str, password: str, mechanism: Mechanism = "LOGIN") -> bool:
    """LOGIN or AUTHENTICATE PLAIN; whether the server said yes."""
    if mechanism == "AUTHENTICATE PLAIN":
        return _authenticate_plain(talk, name, password, initial=False).ok
    return _login(talk, name, password).ok


def select(talk: Talk) -> int | None:
    """SELECT INBOX: how many messages there are, and the proof that the mailbox opens."""
    reply, lines = command(talk, "SELECT INBOX")
    messages = parse.exists_count(lines)
    talk.learn(mailbox=reply, messages=messages)
    return messages


def command(talk: Talk, words: str, *, shown: str | None = None) -> tuple[Reply, list[str]]:
    """One command: its tagged reply, and the untagged lines before it."""
    tag = send(talk, words, shown=shown)
    return finish(talk, tag, words.split(" ", 1)[0])


def send(talk: Talk, words: str, *, shown: str | None = None) -> str:
    """Say a command under a new tag, and return the tag."""
    talk.tags += 1
    tag = f"a{talk.tags}"
    talk.wire.send(f"{tag} {words}", shown=None if shown is None else f"{tag} {shown}")
    return tag


def finish(talk: Talk, tag: str, verb: str) -> tuple[Reply, list[str]]:
    """Read on until the tagged reply."""
    lines: list[str] = []
    while True:
        line = talk.wire.line(f"the reply to {verb}")
        reply = parse.imap_reply(line, tag)
        if reply is not None:
            return reply, lines
        lines.append(line)
        _skip_literal(talk.wire, line)


def invited(talk: Talk, tag: str, verb: str) -> tuple[Reply | None, list[str]]:
    """Wait for ``+``: the tagged reply when the server refuses instead, else None; and the lines before."""
    lines: list[str] = []
    while True:
        line = talk.wire.line(f"the reply to {verb}")
        if line.startswith("+"):
            return None, lines
        reply = parse.imap_reply(line, tag)
        if reply is not None:
            return reply, lines
        lines.append(line)


def leave(talk: Talk) -> None:
    """LOGOUT; a farewell that stays away takes nothing from what was learnt."""
    with suppress(WireError):
        command(talk, "LOGOUT")


def _login(talk: Talk, name: str, password: str) -> Reply:
    sayable(password)
    quoted = password.replace("\\", "\\\\").replace('"', '\\"')
    talk.wire.hide(password, quoted)
    if password.isascii():
        reply, lines = command(talk, f'LOGIN {name} "{quoted}"', shown=f"LOGIN {name} ***")
        return talk.attempt("LOGIN", reply, _alerts(lines))
    # Quoted strings are ASCII (RFC 3501); anything else travels as a literal.
    data = password.encode()
    tag = send(talk, f"LOGIN {name} {{{len(data)}}}", shown=f"LOGIN {name} ***")
    refused, lines = invited(talk, tag, "LOGIN")
    if refused is None:
        talk.wire.note("C", "***")
        talk.wire.send_bytes(data + b"\r\n")
        refused, more = finish(talk, tag, "LOGIN")
        lines += more
    return talk.attempt("LOGIN", refused, _alerts(lines))


def _authenticate_plain(talk: Talk, name: str, password: str, *, initial: bool) -> Reply:
    sayable(password)
    message = sasl_plain(talk.wire, name, password)
    verb = "AUTHENTICATE PLAIN"
    if initial:
        reply, lines = command(talk, f"{verb} {message}", shown=f"{verb} ***")
        return talk.attempt("AUTHENTICATE PLAIN", reply, _alerts(lines))
    tag = send(talk, verb)
    refused, lines = invited(talk, tag, verb)
    if refused is None:
        talk.wire.send(message, shown="***")
        refused, more = finish(talk, tag, verb)
        lines += more
    return talk.attempt("AUTHENTICATE PLAIN", refused, _alerts(lines))


def _alerts(lines: list[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if "[ALERT]" in line.upper())


def _skip_literal(wire: Wire, line: str) -> None:
    size = parse.literal_size(line)
    if size is not None:
        wire.exactly(size, "a literal")
        wire.note("S", f"({size} bytes, not recorded)")
