"""A ClientHello made by hand, and what comes back: bytes in, values out, no network and no OpenSSL.

What a server refuses can only be told by asking for it. The OpenSSL of this machine no longer speaks the old versions
and suites, so its own "no" proves nothing about the server. Formats: RFC 6101 (SSL 3), 5246 (TLS 1.2), 8446 (TLS 1.3).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mailhost.probes.suites import GROUPS, SUITES, ephemeral

VERSIONS: dict[str, int] = {"SSLv3": 0x0300, "TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_NAMES = {number: name for name, number in VERSIONS.items()}
_RETRY = hashlib.sha256(b"HelloRetryRequest").digest()  # RFC 8446, section 4.1.3
_SECURE_RENEGOTIATION = 0x00FF  # a suite that is a signal (RFC 5746): some servers insist on it
_ALERT, _HANDSHAKE = 21, 22  # kinds of records
_SERVER_HELLO, _SERVER_KEY_EXCHANGE, _SERVER_HELLO_DONE = 2, 12, 14  # kinds of handshake messages
_RECORD_LIMIT = 2**14 + 2048  # bytes of a record that TLS allows
_MESSAGE_LIMIT = 128 * 1024  # bytes; a chain of certificates is the longest of them
_SERVER_NAME, _GROUPS, _POINTS, _SIGNATURES, _SUPPORTED_VERSIONS, _KEY_SHARE = 0, 10, 11, 13, 43, 51  # extensions
_NAMED_CURVE = 3
_UNKNOWN_NAME = b"\x01\x70"  # unrecognized_name as a warning
# Everything that anybody signs with, SHA-1 too: a refusal must be about what is asked for, and not about this.
_SCHEMES = (
    *(0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B),
    *(0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0203, 0x0201, 0x0202),
)
ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    47: "illegal_parameter",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    120: "no_application_protocol",
}


class MalformedError(ValueError):
    """What came back is no TLS, or breaks its rules; the text says how."""


@dataclass(frozen=True)
class Answer:
    """What a server says to a hello: an alert, or what it chooses.

    version, suite   what it chooses; empty and 0 for an alert
    group            the group of its key, or ``DH 2048 bits``; empty where the suite has none
    alert            the alert's name
    """

    version: str = ""
    suite: int = 0
    group: str = ""
    alert: str = ""

    @property
    def suite_name(self) -> str:
        """The suite as IANA calls it."""
        return SUITES.get(self.suite, f"suite 0x{self.suite:04x}")


def client_hello(version: str, suites: Iterable[int], groups: Iterable[int], name: str = "") -> bytes:
    """A record with a ClientHello that offers one version (for TLS up to 1.2: at most this one).

    A TLS 1.3 hello brings no key: the server answers with the group that it wants, and its suite.
    """
    number = VERSIONS[version]
    spoken = min(number, VERSIONS["TLSv1.2"])  # TLS 1.3 calls itself 1.2 there
    offered = b"".join(suite.to_bytes(2) for suite in (*suites, _SECURE_RENEGOTIATION))
    body = spoken.to_bytes(2) + os.urandom(32) + _short(os.urandom(32) if version == "TLSv1.3" else b"")
    body += _long(offered) + _short(b"\0")  # no compression
    if version != "SSLv3":  # which knows no extensions
        body += _long(_extensions(number, tuple(groups), name))
    message = b"\x01" + len(body).to_bytes(3) + body
    return bytes([_HANDSHAKE]) + min(number, VERSIONS["TLSv1"]).to_bytes(2) + _long(message)


def read_answer(take: Callable[[int], bytes]) -> Answer:
    """The server's answer; ``take`` gives that many bytes more, or raises. Raises MalformedError.

    No more is read than is needed: the hello, and before TLS 1.3 the server's key where there is one.
    """
    chosen: Answer | None = None
    for kind, message in _messages(take):
        if kind == _ALERT:
            return _alert(message, chosen)
        if chosen is None:
            if kind != _SERVER_HELLO:
                raise MalformedError(f"a handshake message of kind {kind} instead of a ServerHello")
            chosen = _server_hello(message)
            if chosen.version == "TLSv1.3" or not ephemeral(chosen.suite):
                return chosen
        elif kind == _SERVER_KEY_EXCHANGE:
            return Answer(chosen.version, chosen.suite, _key_exchange(message, chosen.suite_name))
        elif kind == _SERVER_HELLO_DONE:
            raise MalformedError(f"no key came for {chosen.suite_name}, which needs one")
    raise MalformedError("no answer")  # never reached: what ends the bytes raises


def _messages(take: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
    """Handshake messages, put together from records; an alert as a message of that kind."""
    buffer = b""
    while True:
        head = take(5)
        kind, size = head[0], int.from_bytes(head[3:5])
        if kind not in (_ALERT, _HANDSHAKE) or head[1] != 3:  # noqa: PLR2004 - every version's first byte
            raise MalformedError(f"this is no TLS: it begins with {head!r}")
        if not 0 < size <= _RECORD_LIMIT:
            raise MalformedError(f"a record of {size} bytes, which TLS does not allow")
        body = take(size)
        if kind == _ALERT and body == _UNKNOWN_NAME:
            continue  # a warning: the handshake goes on
        if kind == _ALERT:
            yield _ALERT, body
            return
        buffer += body
        while len(buffer) >= 4:  # noqa: PLR2004 - kind and length of a message
            length = int.from_bytes(buffer[1:4])
            if length > _MESSAGE_LIMIT:
                raise MalformedError(f"a handshake message of {length} bytes is announced")
            if len(buffer) < 4 + length:
                break
            yield buffer[0], buffer[4 : 4 + length]
            buffer = buffer[4 + length :]


def _alert(body: bytes, chosen: Answer | None) -> Answer:
    if len(body) != 2:  # noqa: PLR2004 - level and description
        raise MalformedError(f"an alert of {len(body)} bytes")
    name = ALERTS.get(body[1], f"alert {body[1]}")
    if chosen is not None:
        raise MalformedError(f"the alert {name} after the server had chosen {chosen.version} {chosen.suite_name}")
    return Answer(alert=name)


class _Reader:
    """Fields one after the other; one that is not whole is malformed."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.what = data, what

    def bytes(self, size: int) -> bytes:
        if len(self.data) < size:
            raise MalformedError(f"{self.what} ends too early")
        found, self.data = self.data[:size], self.data[size:]
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size))


def _server_hello(message: bytes) -> Answer:
    reader = _Reader(message, "the ServerHello")
    number, random = reader.number(2), reader.bytes(32)
    reader.bytes(reader.number(1))  # the session's id
    suite, _compression = reader.number(2), reader.number(1)
    group = ""
    extensions = _Reader(reader.bytes(reader.number(2)) if reader.data else b"", "the ServerHello")
    while extensions.data:
        kind = extensions.number(2)
        value = _Reader(extensions.bytes(extensions.number(2)), "an extension of the ServerHello")
        if kind == _SUPPORTED_VERSIONS:
            number = value.number(2)
        elif kind == _KEY_SHARE:
            chosen = value.number(2)
            group = GROUPS.get(chosen, f"group {chosen}")
    if number not in _NAMES:
        raise MalformedError(f"the version 0x{number:04x} is chosen, which nobody knows")
    if random == _RETRY and _NAMES[number] != "TLSv1.3":
        raise MalformedError(f"a HelloRetryRequest in {_NAMES[number]}")
    return Answer(_NAMES[number], suite, group)


def _key_exchange(message: bytes, suite: str) -> str:
    reader = _Reader(message, "the ServerKeyExchange")
    if "ECDH" not in suite:
        return f"DH {int.from_bytes(reader.bytes(reader.number(2))).bit_length()} bits"
    kind = reader.number(1)
    if kind != _NAMED_CURVE:
        return "a curve of the server's own"
    number = reader.number(2)
    return GROUPS.get(number, f"group {number}")


def _extensions(version: int, groups: Sequence[int], name: str) -> bytes:
    parts = [(_GROUPS, _long(b"".join(group.to_bytes(2) for group in groups))), (_POINTS, _short(b"\0"))]
    if name:
        parts.insert(0, (_SERVER_NAME, _long(b"\0" + _long(name.encode("idna")))))
    if version >= VERSIONS["TLSv1.2"]:
        parts.append((_SIGNATURES, _long(b"".join(scheme.to_bytes(2) for scheme in _SCHEMES))))
    if version == VERSIONS["TLSv1.3"]:
        parts += [(_SUPPORTED_VERSIONS, _short(version.to_bytes(2))), (_KEY_SHARE, _long(b""))]
    return b"".join(kind.to_bytes(2) + _long(value) for kind, value in parts)


def _short(data: bytes) -> bytes:
    return len(data).to_bytes(1) + data


def _long(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data
