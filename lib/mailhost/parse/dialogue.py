"""POP3 and IMAP replies -> values: status, response code, capabilities, literals.

RFC 1939 and RFC 2449 (POP3), RFC 3501 and RFC 5530 (IMAP). What does not parse is None, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_POP3 = re.compile(r"(?P<status>\+OK|-ERR)(?: +(?:\[(?P<code>[^\]]*)\])? *(?P<text>.*))?", re.DOTALL)
_IMAP = re.compile(
    r"(?P<tag>\*|[A-Za-z0-9.]+) (?P<status>OK|NO|BAD|PREAUTH|BYE)(?: +(?:\[(?P<code>[^\]]*)\])? *(?P<text>.*))?",
    re.DOTALL | re.IGNORECASE,
)
_LITERAL = re.compile(r"\{([0-9]{1,12})\+?\}$")
_CAPABILITY = re.compile(r"^(?:\* |.*\[)CAPABILITY ([^\]]*)\]?", re.IGNORECASE)
_EXISTS = re.compile(r"^\* ([0-9]{1,10}) EXISTS$", re.IGNORECASE)
_STAT = re.compile(r"^([0-9]{1,10}) ([0-9]{1,19})\b")
# The words of Dovecot 2.1 to 2.4 where POP3 has no code of its own for "not without TLS": USER and PASS;
# AUTH PLAIN under ssl=yes; AUTH PLAIN under ssl=required. [AUTH] is there since 2.2.0.
_NEEDS_TLS = re.compile(
    r"-ERR (?:\[AUTH\] )?(?:"
    r"(?:Plaintext |Cleartext )?authentication disallowed on non-secure \(SSL/TLS\) connections\."
    r"|Plaintext authentication disabled\."
    r"|Authentication not allowed until SSL/TLS is enabled\."
    r")",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]{1,10}")  # 32 bits; more digits, and those of other scripts, are no IMAP
_ALERTED = "Plaintext authentication disabled."  # IMAP's AUTHENTICATE PLAIN in 2.2, whose code says [ALERT] only
_FETCH = re.compile(r"^\* [0-9]{1,10} FETCH ", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """One status reply.

    status  ``+OK``, ``-ERR``, ``OK``, ``NO``, ``BAD``, ``BYE`` or ``PREAUTH``
    code    the response code in its brackets, in capitals, as ``AUTH`` or ``APPENDUID 1 2``; else empty
    text    the words for people after it
    """

    status: str
    code: str
    text: str
    raw: str

    @property
    def ok(self) -> bool:
        """Whether the server said yes."""
        return self.status in ("+OK", "OK")

    @property
    def brief(self) -> str:
        """The reply for a table: without tag, and without a list of capabilities."""
        code = f"[{self.code}]" if self.code and self.key != "CAPABILITY" else ""
        return " ".join(part for part in (self.status, code, self.text) if part)

    @property
    def key(self) -> str:
        """The first word of the response code: ``APPENDUID`` of ``APPENDUID 1 2``."""
        return self.code.split(" ", 1)[0]


def pop3_reply(line: str) -> Reply | None:
    """A POP3 status line; None when it is none."""
    return _reply(_POP3.fullmatch(line), line)


def imap_reply(line: str, tag: str = "*") -> Reply | None:
    """The IMAP status reply with this tag (``*`` for an untagged one); None when it is none."""
    found = _IMAP.fullmatch(line)
    return _reply(found, line) if found and found["tag"] == tag else None


def _reply(found: re.Match[str] | None, line: str) -> Reply | None:
    if found is None:
        return None
    return Reply(found["status"].upper(), (found["code"] or "").upper(), (found["text"] or "").strip(), line)


def needs_tls(protocol: str, reply: Reply) -> bool:
    """Whether the reply refuses a login for want of TLS: by its code, or where it has none by each version's words."""
    if protocol == "pop3":
        return _NEEDS_TLS.match(reply.raw) is not None
    by_words = reply.key == "ALERT" and reply.text == _ALERTED
    return reply.status == "NO" and (reply.key == "PRIVACYREQUIRED" or by_words)


def pop3_capabilities(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines of a CAPA reply, in capitals: ``SASL PLAIN``, ``STLS``, ``USER`` ..."""
    return tuple(" ".join(line.upper().split()) for line in lines if line.strip())


def imap_capabilities(line: str) -> tuple[str, ...] | None:
    """The words of ``* CAPABILITY ...`` or of ``[CAPABILITY ...]`` in a reply; None when there are none."""
    found = _CAPABILITY.match(line)
    return tuple(found[1].upper().split()) if found else None


def literal_size(line: str) -> int | None:
    """How many bytes follow a line that ends in ``{n}``; None when none do."""
    found = _LITERAL.search(line)
    return int(found[1]) if found else None


def stat_count(reply: Reply) -> int | None:
    """The number of messages in the reply to STAT, ``+OK 2 320``; None when it is not there."""
    found = _STAT.match(reply.text) if reply.ok else None
    return int(found[1]) if found else None


def exists_count(lines: Iterable[str]) -> int | None:
    """The number of messages in ``* n EXISTS``; None when it was not said."""
    counts = [int(found[1]) for line in lines if (found := _EXISTS.match(line))]
    return counts[-1] if counts else None


def search_ids(lines: Iterable[str]) -> tuple[int, ...] | None:
    """The numbers in ``* SEARCH ...``, maybe none; None when there was no such line."""
    for line in lines:
        words = line.upper().split()
        if words[:2] == ["*", "SEARCH"] and all(_NUMBER.fullmatch(word) for word in words[2:]):
            return tuple(int(word) for word in words[2:])
    return None


def is_fetch(line: str) -> bool:
    """Whether the line begins a FETCH reply."""
    return _FETCH.match(line) is not None
