"""Servers that no good server is: the result says why, in time and in bounded memory."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mailhost.checks import dialogue as checks
from mailhost.checks import reach as reach_checks
from mailhost.checks import tls as tls_checks
from mailhost.probes import imap, pop3, tls
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.parallel import parallel
from mailhost.probes.reach import reach
from mailhost.probes.target import Service, Target
from mailhost.probes.wire import ANYONE, LINE_LIMIT, TOTAL_LIMIT, Trust

Script = Callable[[socket.socket], None]
LIMIT = 1.0
SPEAKERS: dict[str, Any] = {"pop3": pop3, "imap": imap}


@contextmanager
def serving(script: Script, service: Service) -> Iterator[Target]:
    """A server on the loopback that does what the script says with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                script(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield Target(service, "127.0.0.1", listener.getsockname()[1], "mail.example.test")
        listener.shutdown(socket.SHUT_RDWR)


def hang(connection: socket.socket) -> None:
    connection.recv(1)
    time.sleep(LIMIT * 3)


def close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x01\xff\xfe garbage \x00\x1b[31m\r\n")
    connection.recv(100)


def endless_line(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def endless_lines(connection: socket.socket) -> None:
    connection.sendall(b"+OK ready\r\n* OK ready\r\n")
    while True:
        connection.sendall(b"* more of it\r\n" * 4096)


def huge_greeting(connection: socket.socket) -> None:
    connection.sendall(b"* OK ")
    for _ in range(1600):
        connection.sendall(b"A" * 65536)
    connection.sendall(b"\r\n")


def trickle(connection: socket.socket) -> None:
    for _ in range(100):
        connection.sendall(b"+")
        time.sleep(0.2)


def tls_alert(connection: socket.socket) -> None:
    """TLS where clear text is due: a TLS server that waits for its client first and then complains."""
    connection.settimeout(LIMIT * 2)
    connection.recv(100)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x0a")


HOSTILE = [hang, close, garbage, endless_line, endless_lines, huge_greeting, trickle, tls_alert]


@pytest.mark.parametrize("script", HOSTILE, ids=lambda script: script.__name__)
@pytest.mark.parametrize("service", ["pop3", "imap", "pop3s", "imaps"])
def test_a_hostile_server_is_an_error_in_time_and_memory(script: Script, service: Service) -> None:
    with serving(script, service) as target:
        tracemalloc.start()
        started = time.monotonic()
        seen: Dialogue = SPEAKERS[target.protocol].greet(target, timeout=LIMIT)
        spent = time.monotonic() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seen.error
    assert seen.broke in ("timeout", "closed", "tls", "limit", "protocol")
    assert spent < LIMIT + 2
    assert peak < 16 * TOTAL_LIMIT
    assert sum(len(line.text) for line in seen.lines) < TOTAL_LIMIT
    (greeting,) = checks.greeting([seen])
    if script is not endless_lines:  # that one does greet, in one protocol or the other
        assert greeting.status == "unknown"
    if not target.implicit_tls:
        assert [f.status for f in checks.capabilities_cleartext([seen])] == ["unknown"]


@pytest.mark.parametrize("script", HOSTILE, ids=lambda script: script.__name__)
@pytest.mark.parametrize("service", ["pop3", "imap"])
def test_no_refusal_and_no_login_is_made_of_it(script: Script, service: Service) -> None:
    with serving(script, service) as target:
        speaker = SPEAKERS[service]
        refuse, log_in = partial(speaker.refuse, timeout=LIMIT), partial(speaker.login, timeout=LIMIT)
        refused, login = parallel([(refuse, (target, "anna", "wrong-1234")), (log_in, (target, "anna", "r", ANYONE))])
    assert [f.status for f in checks.cleartext_refused([refused], [])] == ["unknown"]
    assert [f.status for f in checks.login_accepted([login])] == ["unknown"]
    assert [f.status for f in checks.wrong_password_refused([login])] == ["unknown"]


@pytest.mark.parametrize("script", [hang, close, garbage, endless_line], ids=lambda script: script.__name__)
@pytest.mark.parametrize("service", ["pop3", "imaps"])
def test_openssl_gets_no_handshake_and_no_pass(script: Script, service: Service) -> None:
    with serving(script, service) as target:
        started = time.monotonic()
        (seen,) = tls.look([target], timeout=LIMIT)
        assert time.monotonic() - started < LIMIT + 2
    assert seen.error
    wanted = "unknown" if seen.broke == "timeout" else "fail"
    assert [f.status for f in tls_checks.handshake([seen])] == [wanted]
    assert [f.status for f in tls_checks.verified([seen])] == ["unknown"]
    assert [f.status for f in tls_checks.certificate([seen], ["00"])] == ["unknown"]


def test_a_line_may_be_as_long_as_the_limit() -> None:
    def long(connection: socket.socket) -> None:
        connection.sendall(b"+OK " + b"a" * (LINE_LIMIT - 6) + b"\r\n-ERR no\r\n+OK bye\r\n")
        connection.recv(100)

    with serving(long, "pop3") as target:
        seen = pop3.greet(target, timeout=LIMIT)
    assert seen.error is None
    assert len(seen.greeting) == LINE_LIMIT - 2
    assert len(seen.lines[0].text) < 1100


def test_what_comes_in_clear_after_stls_is_not_taken_for_the_secured_server(authority: Any, tmp_path: Path) -> None:
    def inject(connection: socket.socket) -> None:
        connection.sendall(b"+OK ready\r\n")
        connection.recv(100)
        connection.sendall(b"+OK\r\nSTLS\r\n.\r\n")
        connection.recv(100)
        connection.sendall(b"+OK begin\r\n+OK injected\r\n")
        connection.recv(100)

    with serving(inject, "pop3") as target:
        seen = pop3.greet(target, timeout=LIMIT)
    assert seen.broke == "protocol"
    assert seen.error is not None
    assert "clear text" in seen.error
    assert seen.tls is None


def _tls_server(issued: Any, folder: Path) -> ssl.SSLContext:
    (folder / "chain.pem").write_text(issued.fullchain)
    (folder / "key.pem").write_text(issued.key)
    (folder / "root.pem").write_text(issued.root)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


def _heard(context: ssl.SSLContext, heard: list[bytes]) -> Script:
    """A POP3 server on TLS that takes any login and notes what it heard."""

    def script(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(b"+OK ready\r\n")
            while data := secured.recv(1000):
                heard.append(data)
                secured.sendall(b"+OK 1 2 geheim-1234\r\n")

    return script


def test_no_password_is_sent_to_a_server_that_cannot_prove_its_name(authority: Any, tmp_path: Path) -> None:
    heard: list[bytes] = []
    context = _tls_server(authority.issue("other.example.test"), tmp_path)
    with serving(_heard(context, heard), "pop3s") as target:
        seen = pop3.login(target, "anna", "geheim-1234", Trust(str(tmp_path / "root.pem")), timeout=LIMIT)
    assert seen.broke == "tls"
    assert seen.error is not None
    assert "Hostname mismatch" in seen.error
    assert heard == []
    (finding,) = checks.login_accepted([seen])
    assert finding.status == "unknown"


def test_a_password_is_sent_and_recorded_nowhere(authority: Any, tmp_path: Path) -> None:
    heard: list[bytes] = []
    context = _tls_server(authority.issue("mail.example.test"), tmp_path)
    with serving(_heard(context, heard), "pop3s") as target:
        seen = pop3.login(target, "anna", "geheim-1234", Trust(str(tmp_path / "root.pem")), timeout=LIMIT)
    assert b"PASS geheim-1234\r\n" in heard
    assert seen.accepted
    assert seen.tls is not None
    assert seen.tls.verified
    assert "geheim-1234" not in " ".join(line.text for line in seen.lines)


def test_a_trust_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with serving(hang, "pop3s") as target:
        seen = pop3.login(target, "anna", "x", Trust(str(tmp_path / "none.pem")), timeout=LIMIT)
        (shown,) = tls.look([target], str(tmp_path / "none.pem"), timeout=LIMIT)
    assert seen.error is not None
    assert "none.pem" in seen.error
    assert shown.broke == "local"
    assert tls_checks.handshake([shown])[0].status == "unknown"


@pytest.mark.parametrize("speaker", [pop3, imap])
def test_a_password_never_goes_in_clear_but_to_the_loopback(speaker: Any) -> None:
    service: Service = "pop3" if speaker is pop3 else "imap"
    with pytest.raises(ValueError, match="must not go in clear"):
        speaker.login(Target(service, "192.0.2.1", 110, "x"), "anna", "x", ANYONE, clear=True)


def test_a_password_with_a_line_break_is_not_sent() -> None:
    heard: list[bytes] = []

    def script(connection: socket.socket) -> None:
        connection.sendall(b"* OK ready\r\n")
        while data := connection.recv(100):
            heard.append(data)

    with serving(script, "imap") as target:
        loopback = Target("imap", target.address, target.port, target.name, origin="loopback")
        seen = imap.login(loopback, "anna", "a\r\nb", ANYONE, clear=True, timeout=LIMIT)
    assert seen.broke == "protocol"
    assert not any(b"LOGIN" in data for data in heard)


def test_nobody_listens() -> None:
    with serving(close, "pop3") as target:
        pass
    (seen,) = reach([target])
    assert (seen.state, seen.reason) == ("refused", "connection refused")
    assert pop3.greet(target).broke == "refused"
    (shown,) = tls.look([target])
    assert shown.broke == "refused"


def test_a_forwarded_port_that_accepts_by_itself_is_not_open() -> None:
    with serving(close, "pop3") as target:
        via = Target("pop3", "192.0.2.1", 110, "x", via=target.endpoint, origin="jump")
        (seen,) = reach([via])
    assert seen.state == "unknown"
    assert "by itself" in seen.reason


def test_reach_of_an_open_port_has_its_greeting() -> None:
    def ready(connection: socket.socket) -> None:
        connection.sendall(b"+OK ready.\r\n")
        connection.recv(10)

    with serving(ready, "pop3") as target:
        (seen,) = reach([target])
    assert (seen.state, seen.greeting) == ("open", "+OK ready.")
    assert reach_checks._open(seen).status == "pass"


@pytest.mark.parametrize(
    ("service", "said", "status"),
    [
        ("pop3", b"+OK ready\r\n", "pass"),
        ("imap", b"* OK ready\r\n", "pass"),
        ("pop3", b"220 mail ESMTP\r\n", "fail"),
        ("imap", b"+OK I am POP3\r\n", "fail"),
        ("imap", b"* BYE too many connections\r\n", "fail"),
        ("pop3", b"-ERR not today\r\n", "fail"),
    ],
)
def test_greeting(service: Service, said: bytes, status: str) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.recv(100)

    with serving(script, service) as target:
        seen = SPEAKERS[service].greet(target, timeout=LIMIT)
    (finding,) = checks.greeting([seen])
    assert finding.status == status
