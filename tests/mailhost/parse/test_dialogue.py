from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailhost.parse import dialogue as parse

# As Dovecot says them: 2.2.10 to 2.4.5, and a few of RFC 3501
POP3 = [
    ("+OK Dovecot ready.", "+OK", "", "Dovecot ready."),
    ("+OK", "+OK", "", ""),
    ("-ERR [AUTH] Authentication failed.", "-ERR", "AUTH", "Authentication failed."),
    ("-ERR [SYS/TEMP] Internal error occurred.", "-ERR", "SYS/TEMP", "Internal error occurred."),
    ("-ERR Unknown command.", "-ERR", "", "Unknown command."),
]
IMAP = [
    ("* OK [CAPABILITY IMAP4rev1 IDLE] Dovecot ready.", "*", "OK", "CAPABILITY IMAP4REV1 IDLE", "Dovecot ready."),
    ("a1 NO [PRIVACYREQUIRED] Plaintext authentication disabled.", "a1", "NO", "PRIVACYREQUIRED", None),
    ("* BAD [ALERT] cleartext authentication not allowed", "*", "BAD", "ALERT", None),
    ("a2 OK Logged in, but initialization failed.", "a2", "OK", "", "Logged in, but initialization failed."),
    ("a1 ok", "a1", "OK", "", ""),
    ("* BYE Disconnected", "*", "BYE", "", "Disconnected"),
]


@pytest.mark.parametrize(("line", "status", "code", "text"), POP3)
def test_pop3_reply(line: str, status: str, code: str, text: str) -> None:
    reply = parse.pop3_reply(line)
    assert reply is not None
    assert (reply.status, reply.code, reply.text, reply.raw) == (status, code, text, line)


@pytest.mark.parametrize(("line", "tag", "status", "code", "text"), IMAP)
def test_imap_reply(line: str, tag: str, status: str, code: str, text: str | None) -> None:
    reply = parse.imap_reply(line, tag)
    assert reply is not None
    assert (reply.status, reply.code) == (status, code)
    assert text is None or reply.text == text


@pytest.mark.parametrize("line", ["", "+", "+OKAY", "* OK", "220 mail ESMTP", "-ERROR", "+OK\x00"])
def test_not_pop3(line: str) -> None:
    assert parse.pop3_reply(line) is None


def test_another_tag_is_another_reply() -> None:
    assert parse.imap_reply("a12 OK done", "a1") is None
    assert parse.imap_reply("a1 OKAY", "a1") is None


def test_capabilities() -> None:
    assert parse.pop3_capabilities(["CAPA", "sasl  plain", ""]) == ("CAPA", "SASL PLAIN")
    words = ("IMAP4REV1", "STARTTLS")
    assert parse.imap_capabilities("* CAPABILITY IMAP4rev1 STARTTLS") == words
    assert parse.imap_capabilities("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready] x") == words
    assert parse.imap_capabilities("a1 OK Pre-login capabilities listed") is None


def test_numbers() -> None:
    stat = parse.pop3_reply("+OK 2 320")
    assert stat is not None
    assert parse.stat_count(stat) == 2
    odd = parse.pop3_reply("+OK two")
    assert odd is not None
    assert parse.stat_count(odd) is None
    assert parse.exists_count(["* 3 EXISTS", "* 0 RECENT", "* 4 EXISTS"]) == 4
    assert parse.exists_count(["* OK"]) is None
    assert parse.search_ids(["* SEARCH 4 9"]) == (4, 9)
    assert parse.search_ids(["* SEARCH"]) == ()
    assert parse.search_ids(["* SEARCH x"]) is None
    assert parse.search_ids(["* SEARCH \u00b2"]) is None
    assert parse.search_ids(["* SEARCH \u0664"]) is None
    assert parse.search_ids([f"* SEARCH {'9' * 5000}"]) is None
    assert parse.exists_count(["* \u0664 EXISTS"]) is None
    assert parse.literal_size("{\u0664}") is None
    assert parse.literal_size("* 1 FETCH (BODY[] {369}") == 369
    assert parse.literal_size("a1 LOGIN {3} x") is None


def test_brief_leaves_tag_and_capabilities_out() -> None:
    long = parse.imap_reply("a1 OK [CAPABILITY IMAP4rev1 SORT] Logged in", "a1")
    short = parse.imap_reply("a1 NO [PRIVACYREQUIRED] no", "a1")
    assert long is not None
    assert short is not None
    assert long.brief == "OK Logged in"
    assert short.brief == "NO [PRIVACYREQUIRED] no"


@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    parse.pop3_reply(text)
    parse.imap_reply(text)
    parse.imap_capabilities(text)
    parse.literal_size(text)
    parse.search_ids([text])
    parse.exists_count([text])
