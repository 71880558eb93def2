"""A message of ours goes in by IMAP, is read back by IMAP and by POP3, and is removed again.

Only our own message is read and removed. Headers of other people's mail, which the search may pass over, are
never recorded.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from email.utils import formatdate

from mailhost.parse import dialogue as parse
from mailhost.probes import imap, pop3
from mailhost.probes.dialogue import Dialogue, Talk, converse
from mailhost.probes.target import Target
from mailhost.probes.wire import Trust, WireError

HEADER = "X-Runbook-Token"
_LOOK_BACK = 20  # ours is the newest but for what arrives meanwhile


@dataclass(frozen=True)
class Exchange:
    """The two conversations about one message; ``pop3`` is None where POP3 is not served."""

    token: str
    imap: Dialogue
    pop3: Dialogue | None

    @property
    def dialogues(self) -> tuple[Dialogue, ...]:
        """Both, or the one that there is."""
        return (self.imap,) if self.pop3 is None else (self.imap, self.pop3)


def exchange(
    imap_target: Target,
    pop3_target: Target | None,
    name: str,
    password: str,
    trust: Trust,
    *,
    clear: bool = False,
    timeout: float = 60,
) -> Exchange:
    """Store a message by IMAP APPEND, read it back by IMAP FETCH and POP3 RETR, and remove it.

    ``clear`` leaves TLS out, for the loopback only. What could not be removed is told in the result.
    """
    if clear and any(t is not None and t.origin != "loopback" for t in (imap_target, pop3_target)):
        raise ValueError(f"a password must not go in clear to {imap_target}")
    token = secrets.token_hex(16)
    read_by_pop3: list[Dialogue] = []

    def steps(talk: Talk) -> None:
        talk.learn(token=token)
        imap.begin(talk, trust)
        if not imap_target.implicit_tls and not clear:
            imap.starttls(talk, trust)
        if not imap.authenticate(talk, name, password):
            imap.leave(talk)
            return
        _append(talk, token)
        uids = _find(talk, token)
        try:
            talk.learn(read=_fetch(talk, uids, token))
            if pop3_target is not None:
                read_by_pop3.append(_read_back(pop3_target, name, password, trust, token, clear=clear, timeout=timeout))
        finally:
            # Whatever the reading came to, the mailbox is left as it was found.
            _remove(talk, uids, token)
        imap.leave(talk)

    # The POP3 conversation runs inside the IMAP one, hence twice the time.
    stored = converse(imap_target, "exchange", timeout * 2, steps)
    return Exchange(token, stored, read_by_pop3[0] if read_by_pop3 else None)


def message(token: str, name: str) -> bytes:
    """The message that is stored: it says what it is, should it ever be left behind."""
    lines = (
        f"Date: {formatdate(usegmt=True)}",
        f"From: {name} <{name}@localhost>",
        f"To: {name} <{name}@localhost>",
        "Subject: dovecot-runbook test message, safe to delete",
        f"Message-ID: <{token}@dovecot-runbook.invalid>",
        f"{HEADER}: {token}",
        "",
        f"Stored to prove that mail can be stored and read. {token}",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def _append(talk: Talk, token: str) -> None:
    data = message(token, "runbook")
    tag = imap.send(talk, f"APPEND INBOX {{{len(data)}}}")
    reply, _ = imap.invited(talk, tag, "APPEND")
    if reply is None:
        talk.wire.note("C", f"({len(data)} bytes: {HEADER}: {token})")
        talk.wire.send_bytes(data + b"\r\n")
        reply, _ = imap.finish(talk, tag, "APPEND")
    talk.learn(stored=reply.ok)


def _find(talk: Talk, token: str) -> tuple[int, ...]:
    imap.select(talk)
    _, lines = imap.command(talk, f"UID SEARCH HEADER {HEADER} {token}")
    return parse.search_ids(lines) or ()


def _fetch(talk: Talk, uids: tuple[int, ...], token: str) -> bool:
    if not uids:
        return False
    tag = imap.send(talk, f"UID FETCH {uids[-1]} (BODY.PEEK[])")
    found = False
    while True:
        line = talk.wire.line("the reply to UID FETCH")
        reply = parse.imap_reply(line, tag)
        if reply is not None:
            return found and reply.ok
        size = parse.literal_size(line)
        if size is not None:
            body = talk.wire.exactly(size, "the message")
            talk.wire.note("S", f"({size} bytes, the token is {'' if token.encode() in body else 'not '}in them)")
            found = found or (parse.is_fetch(line) and token.encode() in body)


def _remove(talk: Talk, uids: tuple[int, ...], token: str) -> None:
    if not uids:
        return
    chosen = ",".join(str(uid) for uid in uids)
    imap.command(talk, f"UID STORE {chosen} +FLAGS.SILENT (\\Deleted)")
    # UID EXPUNGE (RFC 4315), since a plain EXPUNGE would also take what the owner had marked.
    reply, _ = imap.command(talk, f"UID EXPUNGE {chosen}")
    _, lines = imap.command(talk, f"UID SEARCH HEADER {HEADER} {token}")
    talk.learn(removed=reply.ok and parse.search_ids(lines) == ())


def _read_back(
    target: Target, name: str, password: str, trust: Trust, token: str, *, clear: bool, timeout: float
) -> Dialogue:
    def steps(talk: Talk) -> None:
        talk.learn(token=token)
        pop3.begin(talk, trust)
        if not target.implicit_tls and not clear:
            pop3.stls(talk, trust)
        if pop3.authenticate(talk, name, password):
            talk.learn(read=_retrieve(talk, pop3.count(talk), token))
        pop3.leave(talk.wire)

    return converse(target, "exchange", timeout, steps)


def _retrieve(talk: Talk, messages: int | None, token: str) -> bool:
    if messages is None:
        raise WireError("protocol", "the reply to STAT has no count in it")
    for number in range(messages, max(0, messages - _LOOK_BACK), -1):
        if not pop3.say(talk.wire, f"TOP {number} 0", "the reply to TOP").ok:
            continue
        headers = pop3.many(talk.wire, "the headers", record=False)
        ours = any(line.strip().lower() == f"{HEADER}: {token}".lower() for line in headers)
        talk.wire.note("S", f"({len(headers)} lines, {HEADER} is {'' if ours else 'not '}ours)")
        if ours:
            reply = pop3.say(talk.wire, f"RETR {number}", "the reply to RETR")
            return reply.ok and any(token in line for line in pop3.many(talk.wire, "the message")[-3:])
    return False
