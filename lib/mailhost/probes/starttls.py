"""What of a conversation in clear text gets through STARTTLS: nothing should (RFC 2595, RFC 3501 6.2.1)."""

from __future__ import annotations

import re

from mailhost.parse.dialogue import imap_reply, needs_tls, pop3_reply
from mailhost.probes import imap, pop3
from mailhost.probes.dialogue import Dialogue, Talk, converse, sasl_plain
from mailhost.probes.target import Protocol, Target
from mailhost.probes.wire import ANYONE, WireError


def inject(target: Target, *, timeout: float = 15) -> Dialogue:
    """Say one more command in the packet that asks for TLS, as an attacker on the way would (CVE-2021-33515).

    ``agreed`` tells whether the server said yes to TLS, ``carried`` what it answered to that command.
    """

    def steps(talk: Talk) -> None:
        (_inject_pop3 if target.protocol == "pop3" else _inject_imap)(talk)

    return converse(_clear(target), "inject", timeout, steps)


def resume(target: Target, name: str, wrong_password: str, *, timeout: float = 30) -> Dialogue:
    """Begin a login in clear, ask for TLS, and go on with it there, by a wrong password.

    ``carried`` is what the server answered to the second half.
    """

    def steps(talk: Talk) -> None:
        (_resume_pop3 if target.protocol == "pop3" else _resume_imap)(talk, name, wrong_password)

    return converse(_clear(target), "resume", timeout, steps)


def went_on(d: Dialogue) -> list[str]:
    """The answers to the second half of a login that show that the server took it for one: it looked at a password."""
    return [line for line in d.carried or () if _goes_on(d.target.protocol, line)]


_LOOKED = re.compile(r"(?:authentication|login) failed|(?:invalid|wrong|bad|incorrect) password", re.IGNORECASE)


def _goes_on(protocol: Protocol, line: str) -> bool:
    if _LOOKED.search(line):
        return True
    if protocol == "imap":
        return imap_reply(line, "a1") is not None or "[AUTHENTICATIONFAILED]" in line.upper()
    reply = pop3_reply(line)
    return reply is not None and (reply.ok or (reply.key == "AUTH" and not needs_tls("pop3", reply)))


def _inject_pop3(talk: Talk) -> None:
    pop3.begin(talk, ANYONE)
    _in_one_packet(talk, "STLS", "CAPA")
    _agreed(talk, pop3.reply(talk.wire, "the reply to STLS").ok)
    talk.wire.start_tls(ANYONE)
    talk.wire.send("NOOP")
    talk.wire.send("QUIT")
    said = _until_closed(talk)
    # Before a login NOOP is an error in every Dovecot, and QUIT is not: so no other reply passes for one of these.
    if [line.split(" ")[0] for line in said[-2:]] != ["-ERR", "+OK"]:
        raise WireError("protocol", f"the replies are not those to NOOP and QUIT: {' / '.join(said)[:200]}")
    talk.learn(carried=tuple(said[:-2]))


def _until_closed(talk: Talk) -> list[str]:
    said: list[str] = []
    try:
        while True:
            said.append(talk.wire.line("the end of the connection"))
    except WireError as why:
        if why.broke != "closed" or not said:
            raise
    return said


def _inject_imap(talk: Talk) -> None:
    imap.begin(talk, ANYONE)
    _in_one_packet(talk, "x1 STARTTLS", "x2 CAPABILITY")
    reply, _ = imap.finish(talk, "x1", "STARTTLS")
    _agreed(talk, reply.ok)
    talk.wire.start_tls(ANYONE)
    _, lines = imap.command(talk, "NOOP")
    talk.learn(carried=tuple(line for line in lines if line.startswith("x2 ")))
    imap.leave(talk)


def _in_one_packet(talk: Talk, first: str, second: str) -> None:
    talk.wire.note("C", first)
    talk.wire.note("C", f"{second} (in the same packet)")
    talk.wire.send_bytes(f"{first}\r\n{second}\r\n".encode())


def _agreed(talk: Talk, yes: bool) -> None:  # noqa: FBT001  # the server's one word
    if not yes:
        raise WireError("tls", "the server does not start TLS")
    talk.learn(agreed=True, early=talk.wire.pending)


def _resume_pop3(talk: Talk, name: str, password: str) -> None:
    pop3.begin(talk, ANYONE)
    talk.wire.hide(password)
    pop3.say(talk.wire, f"USER {name}", "the reply to USER")
    pop3.stls(talk, ANYONE)
    reply = pop3.say(talk.wire, f"PASS {password}", "the reply to PASS", shown="PASS ***")
    talk.learn(carried=(reply.raw,))
    pop3.leave(talk.wire)


def _resume_imap(talk: Talk, name: str, password: str) -> None:
    imap.begin(talk, ANYONE)
    message = sasl_plain(talk.wire, name, password)
    tag = imap.send(talk, "AUTHENTICATE PLAIN")
    refused, _ = imap.invited(talk, tag, "AUTHENTICATE PLAIN")
    if refused is None:  # it listens in clear: taken back, so that no password follows there
        talk.wire.send("*")
        imap.finish(talk, tag, "AUTHENTICATE PLAIN")
    imap.starttls(talk, ANYONE)
    talk.wire.send(message, shown="***")
    _, lines = imap.command(talk, "NOOP")
    talk.learn(carried=tuple(lines))
    imap.leave(talk)


def _clear(target: Target) -> Target:
    if target.implicit_tls:
        raise ValueError(f"{target} has no STARTTLS")
    return target
