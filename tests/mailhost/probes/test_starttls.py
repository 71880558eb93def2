"""What of a conversation in clear gets through STARTTLS, judged on servers that let it through: none is at hand."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from scripted import LIMIT, serving, tls_server

from mailhost.checks import starttls as checks
from mailhost.finding import Finding
from mailhost.probes import imap, pop3, starttls
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.target import Service, Target

SPEAKERS: dict[str, Any] = {"pop3": pop3, "imap": imap}


@dataclass(frozen=True)
class Server:
    """A server of few words.

    carries  takes what it had read in clear into TLS, and remembers a login from there
    early    answers what came with STARTTLS at once, in clear
    drops    hangs up when anything came with STARTTLS
    curt     answers CAPA by one line
    rude     hangs up upon QUIT without a word
    """

    context: ssl.SSLContext
    service: Service
    carries: bool = False
    early: bool = False
    drops: bool = False
    curt: bool = False
    rude: bool = False

    def __call__(self, connection: socket.socket) -> None:
        connection.settimeout(LIMIT * 3)
        connection.sendall(b"+OK ready\r\n" if self.service == "pop3" else b"* OK ready\r\n")
        begun: list[str] = []
        while (line := _line(connection)) and not line.endswith(("STLS", "STARTTLS")):
            begun.append(line)
            connection.sendall(_clear(self.service, line))
        rest = _rest(connection)
        agreed = "+OK begin\r\n" if self.service == "pop3" else f"{line.split()[0]} OK begin\r\n"
        early = [_secured(self.service, one, []) for one in rest] if self.early else []
        connection.sendall(agreed.encode() + b"".join(early))
        if not (self.drops and rest):
            self._secure(connection, begun if self.carries else [], rest if self.carries else [])

    def _secure(self, connection: socket.socket, begun: list[str], rest: list[str]) -> None:
        with self.context.wrap_socket(connection, server_side=True) as secured:
            for one in rest:
                secured.sendall(b"-ERR what?\r\n" if self.curt else _secured(self.service, one, begun))
            while (line := _line(secured)) and not line.endswith(("QUIT", "LOGOUT")):
                secured.sendall(_secured(self.service, line, begun))
            secured.sendall(_secured(self.service, line, begun) if line and not self.rude else b"")


def _line(connection: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\r\n") and (more := connection.recv(1)):
        line += more
    return line.decode().strip()


def _rest(connection: socket.socket) -> list[str]:
    """What stood in the same packet."""
    connection.setblocking(False)  # as socket calls it
    try:
        return connection.recv(1000).decode().splitlines()
    except BlockingIOError:
        return []
    finally:
        connection.settimeout(LIMIT * 3)


def _clear(service: Service, line: str) -> bytes:
    if service == "pop3":
        return b"+OK\r\nSTLS\r\n.\r\n" if line == "CAPA" else b"+OK\r\n"
    tag, verb = line.split()[:2]
    if verb == "CAPABILITY":
        return f"* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK\r\n".encode()
    return f"{tag} NO [PRIVACYREQUIRED] not here\r\n".encode()


def _secured(service: Service, line: str, begun: list[str]) -> bytes:
    words = line.split()
    if service == "pop3":
        if words[0] == "PASS":
            known = any(one.startswith("USER") for one in begun)
            return b"-ERR [AUTH] Authentication failed.\r\n" if known else b"-ERR No username given.\r\n"
        return {"CAPA": b"+OK\r\nUSER\r\n.\r\n", "QUIT": b"+OK bye\r\n"}.get(words[0], b"-ERR what?\r\n")
    if len(words) > 1:
        told = b"* CAPABILITY IMAP4rev1\r\n" if words[1] == "CAPABILITY" else b""
        return told + f"{words[0]} OK done\r\n".encode()
    half = next((one.split()[0] for one in begun if "AUTHENTICATE" in one), None)
    return f"{half} NO [AUTHENTICATIONFAILED] no\r\n".encode() if half else b"* BAD what?\r\n"


@pytest.fixture
def context(authority: Any, tmp_path: Path) -> ssl.SSLContext:
    return tls_server(authority.issue("mail.example.test"), tmp_path)


@pytest.fixture(params=["pop3", "imap"])
def service(request: pytest.FixtureRequest) -> Service:
    return request.param  # type: ignore[no-any-return]


def told(context: ssl.SSLContext, service: Service, **how: bool) -> tuple[Finding, Finding, list[Dialogue]]:
    with serving(Server(context, service, **how), service) as target:
        greeted = SPEAKERS[service].greet(target, timeout=LIMIT * 5)
        seen = [
            starttls.inject(target, timeout=LIMIT * 5),
            starttls.resume(target, "anna", "wrong-1234", timeout=LIMIT * 5),
        ]
    assert greeted.tls is not None
    (injection,), (state,) = checks.injection(seen, [greeted]), checks.state(seen)
    assert checks.injection(seen, [])[0].status == ("unknown" if how.get("drops") else injection.status)
    return injection, state, seen


def test_a_good_server_answers_nothing_of_it(context: ssl.SSLContext, service: Service) -> None:
    injection, state, seen = told(context, service)
    assert (injection.status, state.status) == ("pass", "pass"), seen
    assert "wrong-1234" not in str(seen)


def test_a_server_that_drops_the_connection_is_good_where_tls_comes_about_otherwise(
    context: ssl.SSLContext, service: Service
) -> None:
    injection, state, _ = told(context, service, drops=True)
    assert (injection.status, state.status) == ("pass", "pass")


def test_a_command_that_came_in_clear_is_answered_under_tls(context: ssl.SSLContext, service: Service) -> None:
    injection, _, _ = told(context, service, carries=True)
    assert (injection.status, injection.severity) == ("fail", "high")
    assert "CVE-2021-33515" in injection.message


@pytest.mark.parametrize(("rude", "status"), [(False, "fail"), (True, "unknown")])
def test_one_line_is_an_answer_too(context: ssl.SSLContext, rude: bool, status: str) -> None:  # noqa: FBT001  # a table
    injection, _, _ = told(context, "pop3", carries=True, curt=True, rude=rude)
    assert injection.status == status


def test_a_server_without_a_farewell_is_unknown(context: ssl.SSLContext) -> None:
    injection, _, _ = told(context, "pop3", rude=True)
    assert injection.status == "unknown"


def test_a_command_that_came_with_starttls_is_answered_in_clear(context: ssl.SSLContext, service: Service) -> None:
    injection, _, _ = told(context, service, early=True)
    assert injection.status == "fail"


def test_a_login_that_was_begun_in_clear_goes_on_under_tls(context: ssl.SSLContext, service: Service) -> None:
    _, state, _ = told(context, service, carries=True)
    assert (state.status, state.severity) == ("fail", "high")
    assert "AUTH" in state.actual


@pytest.mark.parametrize(
    ("service", "line", "status"),
    [
        ("pop3", "-ERR No username given.", "pass"),
        ("pop3", "-ERR [AUTH] Authentication failed.", "fail"),
        ("pop3", "-ERR Authentication failed.", "fail"),
        ("pop3", "-ERR [IN-USE] Wrong password", "fail"),
        ("pop3", "+OK Logged in.", "fail"),
        ("pop3", "-ERR [SYS/TEMP] Temporary authentication failure.", "unknown"),
        ("pop3", "-ERR Unknown command.", "unknown"),
        ("pop3", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "unknown"),
        ("imap", "*** BAD Error in IMAP command received by server.", "pass"),
        ("imap", "* BAD [CLIENTBUG] what?", "pass"),
        ("imap", "a1 NO [UNAVAILABLE] later", "fail"),
        ("imap", "* NO Authentication failed.", "fail"),
        ("imap", "* OK still here", "unknown"),
        ("imap", None, "unknown"),
    ],
)
def test_only_known_words_say_that_no_login_is_under_way(service: Service, line: str | None, status: str) -> None:
    seen = Dialogue(_target(service), "resume", "", carried=() if line is None else (line,))
    (finding,) = checks.state([seen])
    assert finding.status == status
    assert (finding.message == "") == (status == "pass")


def test_an_alert_of_tls_is_no_answer() -> None:
    said = Dialogue(
        starttls._clear(_target("pop3")), "inject", "", agreed=True, early="\\x15\\x03\\x03", broke="closed", error="x"
    )
    greeted = Dialogue(said.target, "greet", "", tls=object())  # type: ignore[arg-type]
    assert [f.status for f in checks.injection([said], [greeted])] == ["pass"]


def test_tls_came_about_at_the_same_port_by_another_way_through_ssh() -> None:
    by_jump, again = (Target("imap", "192.0.2.5", 143, "a.test", ("127.0.0.1", n), "jump") for n in (4001, 4002))
    said = Dialogue(by_jump, "inject", "", agreed=True, broke="closed", error="x")
    greeted = Dialogue(again, "greet", "", tls=object())  # type: ignore[arg-type]
    elsewhere = Dialogue(replace(again, address="192.0.2.6"), "greet", "", tls=greeted.tls)
    assert [f.status for f in checks.injection([said], [greeted])] == ["pass"]
    assert [f.status for f in checks.injection([said], [elsewhere])] == ["unknown"]


def _target(service: Service) -> Any:
    with serving(lambda _: None, service) as target:
        return target
