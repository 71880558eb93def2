"""One connection that keeps what was said on it: lines with who, what and when; limits that nothing gets past.

One deadline holds for the whole conversation, so that a server that sends a byte now and then cannot stretch
it; lines, their number and their sum are limited, so that one that never stops cannot fill the memory.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Literal

from mailhost.probes.target import Target
from mailhost.redact import MASK, redact

LINE_LIMIT = 16 * 1024  # bytes of one line; RFC 9051 asks clients to bear 8192
TOTAL_LIMIT = 512 * 1024  # bytes of one conversation
LINES_LIMIT = 2000  # lines of one conversation that are recorded; a good one has a few dozen
_TELLING = 4
_SHOWN = 1000  # characters of one line that are kept

Broke = Literal["", "refused", "timeout", "unreachable", "closed", "tls", "limit", "protocol"]


@dataclass(frozen=True)
class Line:
    """One line of a dialogue: said by the client (``C``) or the server (``S``), ``ms`` after its start."""

    who: Literal["C", "S"]
    text: str
    ms: int


@dataclass(frozen=True)
class TlsUsed:
    """What TLS came to in a dialogue; ``verified`` says whether chain and name were checked and good."""

    version: str
    cipher: str
    leaf_sha256: str
    verified: bool


@dataclass(frozen=True)
class Trust:
    """Whom to believe: the roots in a file (None: this machine's), or nobody's word is asked for."""

    roots: str | None = None
    verify: bool = True


ANYONE = Trust(verify=False)  # for what needs no secret: a wrong certificate is another check's business


class WireError(Exception):
    """The conversation could not begin or broke off: ``broke`` says how, the text says why."""

    def __init__(self, broke: Broke, text: str) -> None:
        super().__init__(text)
        self.broke: Broke = broke


class Wire:
    """An open connection to a target. Every method raises WireError."""

    def __init__(self, target: Target, timeout: float) -> None:
        self.target = target
        self.timeout = timeout
        self.lines: list[Line] = []
        self.tls: TlsUsed | None = None
        self._started = time.monotonic()
        self._buffer = b""
        self._total = 0
        self._masks: set[str] = set()
        try:
            self._socket = socket.create_connection(target.endpoint, timeout=self._left("a connection"))
        except OSError as error:
            raise connect_error(error, f"no connection within {timeout:g} s") from error

    def allow(self, seconds: float) -> None:
        """Let the conversation end so many seconds from now: for one that paused in between."""
        self.timeout = time.monotonic() - self._started + seconds

    def hide(self, *secrets: str) -> None:
        """Have these masked in every line from now on, whoever says them.

        A word of less than four characters is not: it would be found in innocent lines and tell itself so.
        """
        self._masks |= {secret for secret in secrets if len(secret) >= _TELLING}

    def note(self, who: Literal["C", "S"], text: str) -> None:
        """Record a line as it is shown to people: masked, and cut when it is endless."""
        shown = redact(_masked(text, self._masks))
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}... ({len(shown)} characters)"
        self.lines.append(Line(who, shown, round((time.monotonic() - self._started) * 1000)))

    def send(self, line: str, *, shown: str | None = None) -> None:
        """Say one line; ``shown`` stands in the record instead of it."""
        self.note("C", line if shown is None else shown)
        self.send_bytes(line.encode() + b"\r\n")

    def send_bytes(self, data: bytes) -> None:
        """Say bytes that are not recorded here."""
        try:
            self._socket.settimeout(self._left("being heard"))
            self._socket.sendall(data)
        except OSError as error:
            raise self._broken(error, "being heard") from error

    def line(self, waiting_for: str, *, record: bool = True) -> str:
        """The next line without its end; ``waiting_for`` completes the sentence when it does not come."""
        while b"\n" not in self._buffer[:LINE_LIMIT]:
            if len(self._buffer) >= LINE_LIMIT:
                self.note("S", as_text(self._buffer[:80]) + f"... (a line of more than {LINE_LIMIT} bytes)")
                raise WireError("limit", f"a line longer than {LINE_LIMIT} bytes instead of {waiting_for}")
            self._fill(waiting_for)
        raw, _, self._buffer = self._buffer.partition(b"\n")
        text = _masked(as_text(raw.removesuffix(b"\r")), self._masks)
        if record:
            if len(self.lines) >= LINES_LIMIT:
                raise WireError("limit", f"more than {LINES_LIMIT} lines, at {waiting_for}; the rest was not read")
            self.note("S", text)
        return text

    @property
    def pending(self) -> str:
        """What has come and was not read yet, as text."""
        return as_text(self._buffer[:_SHOWN])

    def exactly(self, size: int, waiting_for: str) -> bytes:
        """The next ``size`` bytes, which are not recorded here."""
        if size > TOTAL_LIMIT:
            raise WireError("limit", f"{size} bytes announced as {waiting_for}, more than {TOTAL_LIMIT} are not read")
        while len(self._buffer) < size:
            self._fill(waiting_for)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def start_tls(self, trust: Trust) -> TlsUsed:
        """Shake hands; with a trust that verifies, chain and name must be good."""
        if self._buffer:
            # What was sent in clear must not be taken for the secured server's word (CVE-2011-0411 and its kin).
            raise WireError("protocol", "the server sent more in clear text after it had agreed to start TLS")
        context = _context(trust)
        try:
            self._socket.settimeout(self._left("the TLS handshake"))
            secured = context.wrap_socket(self._socket, server_hostname=self.target.name)
        except (OSError, ValueError) as error:
            raise self._broken(error, "the TLS handshake") from error
        self._socket = secured
        cipher = secured.cipher()
        leaf = secured.getpeercert(binary_form=True) or b""
        self.tls = TlsUsed(
            secured.version() or "", cipher[0] if cipher else "", hashlib.sha256(leaf).hexdigest(), trust.verify
        )
        return self.tls

    def close(self) -> None:
        """End the connection; a farewell that fails has nothing more to tell."""
        self._socket.close()

    def _fill(self, waiting_for: str) -> None:
        try:
            self._socket.settimeout(self._left(waiting_for))
            data = self._socket.recv(8192)
        except OSError as error:
            raise self._broken(error, waiting_for) from error
        if not data:
            if self._buffer:
                self.note("S", as_text(self._buffer))
            raise WireError("closed", f"the server closed the connection instead of {waiting_for}")
        self._total += len(data)
        if self._total > TOTAL_LIMIT:
            raise WireError("limit", f"the server sent more than {TOTAL_LIMIT} bytes; the rest was not read")
        self._buffer += data

    def _left(self, waiting_for: str) -> float:
        left = self._started + self.timeout - time.monotonic()
        if left <= 0:
            raise WireError("timeout", f"{waiting_for} did not come within {self.timeout:g} s")
        return left

    def _broken(self, error: Exception, waiting_for: str) -> WireError:
        if isinstance(error, TimeoutError):
            return WireError("timeout", f"{waiting_for} did not come within {self.timeout:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            return WireError("tls", f"the certificate is not to be trusted: {error.verify_message}")
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
            return WireError("closed", f"the server closed the connection instead of {waiting_for}")
        if isinstance(error, ssl.SSLError):
            return WireError("tls", f"{waiting_for} failed: {error.reason or error}")
        return WireError("unreachable", f"the connection broke, waiting for {waiting_for}: {error}")


def connect_error(error: OSError, late: str) -> WireError:
    """Why a connection did not come about; ``late`` are the words for one that took too long."""
    if isinstance(error, TimeoutError):
        return WireError("timeout", late)
    if isinstance(error, ConnectionRefusedError):
        return WireError("refused", "connection refused")
    return WireError("unreachable", error.strerror or str(error))


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif trust.roots is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cafile=trust.roots)
        except OSError as error:
            raise WireError("tls", f"the file of trusted roots {trust.roots} cannot be used: {error}") from error
    return context


def _masked(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def as_text(raw: bytes) -> str:
    """Bytes as text that shows what is not text."""
    return raw.decode("utf-8", errors="backslashreplace").translate(_CONTROLS)


# What moves a terminal's cursor, breaks a line or turns the order of what stands around it (Unicode's bidi controls).
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))} | {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
