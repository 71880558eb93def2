"""Servers that no good server is: the result says why, in time and in bounded memory."""

from __future__ import annotations

import socket
import ssl
import time
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from canned import want
from odd import ODDITIES, odd
from scripted import LIMIT, Script, serving, tls_server

from mailhost.checks import dialogue as checks
from mailhost.checks import matrix as matrix_checks
from mailhost.checks import offers as offer_checks
from mailhost.checks import reach as reach_checks
from mailhost.checks import starttls as starttls_checks
from mailhost.checks import tls as tls_checks
from mailhost.policy import shipped
from mailhost.probes import imap, offers, pop3, starttls, tls
from mailhost.probes.certificate import decode
from mailhost.probes.dialogue import MECHANISMS, Dialogue
from mailhost.probes.parallel import parallel
from mailhost.probes.reach import reach
from mailhost.probes.target import Service, Target
from mailhost.probes.wire import ANYONE, LINE_LIMIT, LINES_LIMIT, TOTAL_LIMIT, Trust

SPEAKERS: dict[str, Any] = {"pop3": pop3, "imap": imap}


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


def blank_lines(connection: socket.socket) -> None:
    """More lines than the bytes that are read have room for words."""
    connection.sendall(b"+OK ready\r\n")
    connection.recv(100)
    connection.sendall(b"+OK\r\n" + b"\n" * 520_000)
    connection.recv(100)


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


def half_a_handshake(connection: socket.socket) -> None:
    """The beginning of a ServerHello, and no more of it."""
    connection.recv(100)
    connection.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")


def speaks_tls(connection: socket.socket) -> None:
    """A TLS server that does not even wait for its client."""
    connection.sendall(b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00" * 100)
    connection.recv(100)


CUT = [hang, close, garbage, endless_line, half_a_handshake]
HOSTILE = [*CUT, speaks_tls, endless_lines, huge_greeting, trickle, tls_alert]


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


def test_many_blank_lines_take_little_memory() -> None:
    with serving(blank_lines, "pop3") as target:
        tracemalloc.start()
        seen = pop3.greet(target, timeout=LIMIT * 5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seen.broke == "limit"
    assert len(seen.lines) == LINES_LIMIT
    assert peak < 8 * TOTAL_LIMIT
    assert checks.capabilities_cleartext([seen])[0].status == "unknown"


@pytest.mark.parametrize("script", HOSTILE, ids=lambda script: script.__name__)
@pytest.mark.parametrize("service", ["pop3", "imap"])
def test_no_refusal_and_no_login_is_made_of_it(script: Script, service: Service) -> None:
    with serving(script, service) as target:
        speaker = SPEAKERS[service]
        refuse, log_in = partial(speaker.refuse, timeout=LIMIT), partial(speaker.login, timeout=LIMIT)
        refused, login = parallel([(refuse, (target, "anna", "wrong-1234")), (log_in, (target, "anna", "r", ANYONE))])
    assert [f.status for f in checks.cleartext_refused([refused], [])] == ["unknown"]
    assert [f.status for f in checks.login_accepted([login])] == ["unknown"]
    assert [f.status for f in checks.wrong_password_refused([login], [])] == ["unknown"]


@pytest.mark.parametrize("script", HOSTILE, ids=lambda script: script.__name__)
@pytest.mark.parametrize("service", ["pop3", "imap"])
def test_nothing_is_made_of_it_by_the_login_matrix_and_by_starttls(script: Script, service: Service) -> None:
    with serving(script, service) as target:
        tracemalloc.start()
        log_in = partial(SPEAKERS[service].login, target, "anna", "r", ANYONE, timeout=LIMIT)
        logins = [
            partial(log_in, mechanism=mechanism, story=story)
            for mechanism, story in zip(MECHANISMS[service], ("login", "expired"), strict=True)
        ]
        crossing = [partial(starttls.inject, target, timeout=LIMIT)]
        crossing += [partial(starttls.resume, target, "anna", "wrong-1234", timeout=LIMIT)]
        started = time.monotonic()
        seen: list[Dialogue] = parallel([(one, ()) for one in (*logins, *crossing)])
        spent = time.monotonic() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert all(d.error and d.broke for d in seen)
    assert spent < LIMIT + 10
    assert peak < len(seen) * 16 * TOTAL_LIMIT
    assert {f.status for f in matrix_checks.matrix(seen[:2])} == {"unknown"}
    assert {c.verdict for c in matrix_checks.cells(seen[:2])} == {"unknown"}
    assert [f.status for f in starttls_checks.injection(seen, [])] == ["unknown"]
    assert [f.status for f in starttls_checks.state(seen)] == ["unknown"]


@pytest.mark.parametrize("service", ["pop3", "imap"])
@pytest.mark.parametrize("then", CUT, ids=lambda then: then.__name__)
def test_a_server_that_agrees_to_tls_and_then_breaks_off(then: Script, service: Service) -> None:
    def agree(connection: socket.socket) -> None:
        connection.settimeout(LIMIT * 3)
        connection.sendall(b"+OK ready\r\n" if service == "pop3" else b"* OK ready\r\n")
        while line := connection.recv(200).decode():
            agreed = "STLS" in line or "STARTTLS" in line
            connection.sendall(f"{line.split()[0]} OK go on\r\n".encode() if service == "imap" else b"+OK go on\r\n")
            if agreed:
                then(connection)
                return

    with serving(agree, service) as target:
        calls = (
            partial(SPEAKERS[service].login, target, "anna", "r", ANYONE, timeout=LIMIT),
            partial(starttls.inject, target, timeout=LIMIT),
            partial(starttls.resume, target, "anna", "wrong-1234", timeout=LIMIT),
        )
        seen: list[Dialogue] = parallel([(one, ()) for one in calls])
    assert all(d.error and d.tls is None for d in seen)
    assert {f.status for f in matrix_checks.matrix(seen[:1])} == {"unknown"}
    # a connection that is dropped is no proof where TLS never came about
    assert [f.status for f in starttls_checks.injection(seen, [])] == ["unknown"]
    assert [f.status for f in starttls_checks.state(seen)] == ["unknown"]


@pytest.mark.parametrize("service", ["pop3s", "imaps"])
def test_a_greeting_of_100_megabytes_under_tls_stays_small(authority: Any, tmp_path: Path, service: Service) -> None:
    context = tls_server(authority.issue("mail.example.test"), tmp_path)

    def script(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            huge_greeting(secured)

    with serving(script, service) as target:
        tracemalloc.start()
        seen = SPEAKERS[target.protocol].login(target, "anna", "r", ANYONE, timeout=LIMIT * 5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seen.broke == "limit"
    assert peak < 16 * TOTAL_LIMIT
    assert {f.status for f in matrix_checks.matrix([seen])} == {"unknown"}


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


@pytest.mark.parametrize("oddity", ODDITIES[:2])  # OpenSSL itself does not serve the others
def test_an_odd_certificate_is_told_and_the_next_port_is_looked_at(authority: Any, tmp_path: Path, oddity: str) -> None:
    issued = authority.issue("mail.example.test")
    context = tls_server(replace(issued, intermediate=odd(issued.intermediate, oddity)), tmp_path)
    good = tls_server(issued, tmp_path)

    def shake(with_: ssl.SSLContext) -> Script:
        def script(connection: socket.socket) -> None:
            with with_.wrap_socket(connection, server_side=True) as secured:
                secured.recv(100)

        return script

    with serving(shake(context), "imaps") as target, serving(shake(good), "imaps") as other:
        seen, beside = tls.look([target, other], str(tmp_path / "root.pem"), timeout=LIMIT * 5)
    assert seen.error is not None
    assert "what was sent is no certificate" in seen.error
    (finding,) = tls_checks.handshake([seen])
    assert finding.status == "fail"
    assert {f.status for f in tls_checks.names([seen], want()) + tls_checks.verified([seen])} == {"unknown"}
    assert beside.verified


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_odd_certificate_is_none(authority: Any, oddity: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(odd(authority.issue("mail.example.test").leaf, oddity))


def truncated_hello(connection: socket.socket) -> None:
    connection.recv(2000)
    connection.sendall(b"\x16\x03\x03\x00\x32\x02\x00\x00\x2e\x03\x03" + b"r" * 20)


def short_hello(connection: socket.socket) -> None:
    """A ServerHello that says it is whole and is not."""
    connection.recv(2000)
    connection.sendall(b"\x16\x03\x03\x00\x0a\x02\x00\x00\x06\x03\x03" + b"r" * 4)
    time.sleep(LIMIT)


def endless_records(connection: socket.socket) -> None:
    connection.recv(2000)
    while True:
        connection.sendall(b"\x16\x03\x03\x40\x00" + b"\x02\x00\x7f\xff" + b"x" * 16380)


def oversized_record(connection: socket.socket) -> None:
    connection.recv(2000)
    connection.sendall(b"\x16\x03\x03\xff\xff" + b"x" * 70000)


def oversized_message(connection: socket.socket) -> None:
    connection.recv(2000)
    connection.sendall(b"\x16\x03\x03\x00\x04\x02\xff\xff\xff")
    time.sleep(LIMIT)


def empty_records(connection: socket.socket) -> None:
    connection.recv(2000)
    while True:
        connection.sendall(b"\x16\x03\x03\x00\x00" * 1000)


def odd_alert(connection: socket.socket) -> None:
    connection.recv(2000)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\xfe")


NO_TLS = [*HOSTILE, truncated_hello, short_hello, endless_records, oversized_record, oversized_message, empty_records,
          odd_alert]  # fmt: skip


@pytest.mark.parametrize("script", NO_TLS, ids=lambda script: script.__name__)
def test_no_offer_and_no_refusal_is_made_of_it(script: Script) -> None:
    with serving(script, "imaps") as target:
        started = time.monotonic()
        (seen,), (offered,) = offers.versions([target], timeout=LIMIT), offers.ciphers([target], timeout=LIMIT)
        spent = time.monotonic() - started
    assert seen.offered == offered.suites == offered.groups == ()
    assert spent < 2 * LIMIT + 3
    assert {reply.answer for _, reply in seen.replies} == {"unknown"}
    if script is not close:  # which may be a refusal; of everything, it proves nothing
        assert offered.unknown
    assert all(reply.how for _, reply in seen.replies)
    found = [
        *offer_checks.versions([seen], want(), shipped()),
        *offer_checks.ciphers([offered], shipped()),
        *offer_checks.key_exchange([offered], shipped()),
    ]
    assert [f.status for f in found] == ["unknown"] * 3
    assert all(f.message and f.remedy for f in found)


@pytest.mark.parametrize("service", ["pop3", "imap"])
def test_a_server_that_closes_before_tls_begins_has_refused_nothing(service: Service) -> None:
    def starts_no_tls(connection: socket.socket) -> None:
        connection.sendall(b"+OK ready\r\n" if service == "pop3" else b"* OK ready\r\n")
        connection.recv(100)

    with serving(starts_no_tls, service) as target:
        (seen,) = offers.versions([target], timeout=LIMIT)
    assert {reply.answer for _, reply in seen.replies} == {"unknown"}


def test_what_stands_behind_starttls_in_clear_is_no_answer_to_the_hello() -> None:
    def goes_on_in_clear(connection: socket.socket) -> None:
        connection.sendall(b"* OK ready\r\n")
        connection.recv(100)
        connection.sendall(b"a1 OK begin\r\n* OK more\r\n")
        connection.recv(2000)

    with serving(goes_on_in_clear, "imap") as target:
        (seen,) = offers.versions([target], timeout=LIMIT)
    assert {reply.answer for _, reply in seen.replies} == {"unknown"}


@pytest.mark.parametrize("sign", [0x1B, 0x7F, 0x80, 0x85, 0x9B, 0x9F, 0x61C, 0x200E, 0x2028, 0x2029, 0x202E, 0x2066])
def test_signs_that_change_how_a_line_is_shown_are_told_as_numbers(sign: int) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(f"+OK ab{chr(sign)}cd \u00e9\u00fc\u4e2d\r\n-ERR no\r\n+OK bye\r\n".encode())
        connection.recv(100)

    with serving(script, "pop3") as target:
        seen = pop3.greet(target, timeout=LIMIT)
        (reached,) = reach([target])
    number = f"\\x{sign:02x}" if sign < 0x100 else f"\\u{sign:04x}"
    assert reached.greeting == seen.greeting == seen.lines[0].text == f"+OK ab{number}cd \u00e9\u00fc\u4e2d"


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
    context = tls_server(authority.issue("other.example.test"), tmp_path)
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
    context = tls_server(authority.issue("mail.example.test"), tmp_path)
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
