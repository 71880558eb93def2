"""Hellos made by hand, held against OpenSSL's own server: what it was told to offer is what is found."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scripted import Script, serving

from mailhost.probes import offers
from mailhost.probes.hello import VERSIONS, Answer, MalformedError, client_hello, read_answer
from mailhost.probes.suites import GROUPS, SUITES, ephemeral
from mailhost.probes.target import Target

OLD = ("-cipher", "DEFAULT@SECLEVEL=0")


@dataclass
class Server:
    """OpenSSL's s_server on the loopback, with an EC and an RSA certificate."""

    folder: Path
    running: list[subprocess.Popen[bytes]]

    def start(self, *options: str, rsa: bool = True) -> Target:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        files = [f"{self.folder}/{name}.pem" for name in ("ec", "ec.key", "rsa", "rsa.key")]
        pair = [word for option, file in zip(("-cert", "-key", "-dcert", "-dkey"), files, strict=True)
                for word in (option, file)][: None if rsa else 4]  # fmt: skip
        words = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", *pair, *options]
        self.running.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        until = time.monotonic() + 20
        while time.monotonic() < until and self.running[-1].poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                break
        return Target("imaps", "127.0.0.1", port, "mail.example.test")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name, kind in (("ec", ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")), ("rsa", ("rsa:2048",))):
        words = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=mail.example.test", "-newkey", *kind]
        files = ["-keyout", f"{folder}/{name}.key.pem", "-out", f"{folder}/{name}.pem"]
        subprocess.run([*words, *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def s_server(certificates: Path) -> Iterator[Callable[..., Target]]:
    server = Server(certificates, [])
    yield server.start
    for process in server.running:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        (("-tls1_3",), {"TLSv1.3"}),
        (("-tls1_2",), {"TLSv1.2"}),
        ((), {"TLSv1.2", "TLSv1.3"}),
        (("-tls1_1", *OLD), {"TLSv1.1"}),
        (("-tls1", *OLD), {"TLSv1"}),
        (OLD, {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}),
        ((*OLD, "-no_tls1", "-no_tls1_3"), {"TLSv1.1", "TLSv1.2"}),
    ],
)
def test_versions(s_server: Callable[..., Target], options: tuple[str, ...], offered: set[str]) -> None:
    (seen,) = offers.versions([s_server(*options)])
    assert set(seen.offered) == offered
    assert {reply.answer for _, reply in seen.replies} <= {"agreed", "refused"}
    assert [version for version, _ in seen.replies] == list(VERSIONS)
    assert seen.unknown == ()


def known_to_openssl(cipher_list: str) -> set[str]:
    """The suites of a cipher list, by OpenSSL's own word: IANA's names."""
    words = ["openssl", "ciphers", "-s", "-tls1_2", "-stdname", cipher_list]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^(TLS_\S+)", said, re.MULTILINE))


@pytest.mark.parametrize(
    "cipher_list",
    [
        "ECDHE+AESGCM:ECDHE+CHACHA20",
        "ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH",
        "ALL:COMPLEMENTOFALL:!PSK:!SRP:!DSS:@SECLEVEL=0",
        "AES128-SHA",
        "aNULL:eNULL:!PSK:!SRP:@SECLEVEL=0",
    ],
)
def test_suites(s_server: Callable[..., Target], cipher_list: str) -> None:
    (seen,) = offers.ciphers([s_server("-tls1_2", "-cipher", cipher_list)])
    assert set(seen.suites) == known_to_openssl(cipher_list)
    assert seen.unknown == ()
    if "DHE-" in cipher_list or "ALL" in cipher_list:
        assert any(re.fullmatch(r"DH \d+ bits", group) for group in seen.groups)


def test_suites_of_tls_13(s_server: Callable[..., Target]) -> None:
    given = "TLS_AES_128_CCM_8_SHA256:TLS_AES_256_GCM_SHA384"
    (seen,) = offers.ciphers([s_server("-tls1_3", "-ciphersuites", given, "-cipher", "DEFAULT@SECLEVEL=0")])
    assert set(seen.suites) == set(given.split(":"))


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        (("-tls1_3", "-groups", "P-384:X448"), {"secp384r1", "x448"}),
        (("-tls1_3", "-groups", "ffdhe2048:ffdhe4096"), {"ffdhe2048", "ffdhe4096"}),
        (("-tls1_2", "-cipher", "ECDHE@SECLEVEL=0", "-groups", "secp192r1:secp224r1:P-256"),
         {"secp192r1", "secp224r1", "secp256r1"}),
    ],
)  # fmt: skip
def test_groups(s_server: Callable[..., Target], options: tuple[str, ...], groups: set[str]) -> None:
    (seen,) = offers.ciphers([s_server(*options)])
    assert set(seen.groups) == groups
    assert seen.unknown == ()


def test_a_weak_group_is_found_beside_an_ec_certificate_alone(s_server: Callable[..., Target]) -> None:
    """Such a server needs the curve of its certificate to be offered as well."""
    options = ("-tls1_2", "-cipher", "ECDHE@SECLEVEL=0", "-groups", "X25519:secp192r1:P-256")
    (seen,) = offers.ciphers([s_server(*options, rsa=False)])
    assert {"x25519", "secp192r1", "secp256r1"} <= set(seen.groups)


def test_no_name_is_sent_for_an_address() -> None:
    assert b"mail.example.test" in client_hello("TLSv1.2", SUITES, GROUPS, "mail.example.test")
    target = Target("imaps", "192.0.2.1", 993, "192.0.2.1")
    assert offers._is_address(target.name)


def test_ssl_3_has_no_extensions_and_each_hello_says_its_version() -> None:
    spoken = {version: client_hello(version, SUITES, GROUPS, "a.test") for version in VERSIONS}
    assert b"a.test" not in spoken["SSLv3"]
    assert {version: hello[9:11].hex() for version, hello in spoken.items()} == {
        "SSLv3": "0300", "TLSv1": "0301", "TLSv1.1": "0302", "TLSv1.2": "0303", "TLSv1.3": "0303",
    }  # fmt: skip
    for hello in spoken.values():
        assert int.from_bytes(hello[3:5]) == len(hello) - 5
        assert int.from_bytes(hello[6:9]) == len(hello) - 9


def answer(data: bytes) -> Answer:
    def take(size: int) -> bytes:
        nonlocal data
        if len(data) < size:
            raise EOFError
        found, data = data[:size], data[size:]
        return found

    return read_answer(take)


def record(kind: int, body: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(body).to_bytes(2) + body


def hello(version: int = 0x0303, suite: int = 0x002F) -> bytes:
    body = version.to_bytes(2) + b"r" * 32 + b"\0" + suite.to_bytes(2) + b"\0"
    return b"\x02" + len(body).to_bytes(3) + body


def test_an_answer_in_pieces_and_behind_a_warning() -> None:
    assert answer(record(22, hello())) == Answer("TLSv1.2", 0x2F)
    pieces = b"".join(record(22, hello()[n : n + 1]) for n in range(len(hello())))
    assert answer(record(21, b"\x01\x70") + pieces) == Answer("TLSv1.2", 0x2F)
    assert answer(record(21, b"\x02\x46")).alert == "protocol_version"
    assert answer(record(21, b"\x02\xfe")).alert == "alert 254"
    dh = b"\x0c\x00\x00\x82\x00\x80" + b"\xff" * 128
    assert answer(record(22, hello(suite=0x33) + dh)).group == "DH 1024 bits"


def answers(chosen: Callable[[int], bytes | None]) -> Script:
    """A server that answers the hello of a version by these bytes, or hangs up; TLS 1.3 calls itself 1.2 there."""

    def script(connection: socket.socket) -> None:
        asked = connection.recv(2000)
        said = chosen(int.from_bytes(asked[9:11]))
        if said is not None:
            connection.sendall(record(22, said))
            connection.recv(100)

    return script


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (lambda _: hello(0x0303), ["unknown", "unknown", "unknown", "agreed", "unknown"]),
        (lambda asked: hello(asked, 0xC0FF), ["unknown"] * 5),
        (lambda asked: hello(min(asked, 0x0302)), ["agreed", "agreed", "agreed", "refused", "unknown"]),
        (
            lambda asked: hello(asked) if asked >= 0x0303 else None,
            ["refused", "refused", "refused", "agreed", "unknown"],
        ),
        (lambda _: None, ["unknown"] * 5),
    ],
    ids=["above", "a suite of its own", "below", "closes upon the old ones", "closes upon all"],
)
def test_only_an_answer_to_what_was_asked_is_a_refusal(chosen: Any, told: list[str]) -> None:
    with serving(answers(chosen), "imaps") as target:
        (seen,) = offers.versions([target], timeout=5)
    assert [reply.answer for _, reply in seen.replies] == told, seen


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400", "no TLS"),
        (record(22, b"\x0b\x00\x00\x00"), "instead of a ServerHello"),
        (record(22, hello(version=0x0399)), "0x0399"),
        (record(22, b"\x02\x00\x00\x02\x03\x03"), "ends too early"),
        (record(22, hello(suite=0x33) + b"\x0e\x00\x00\x00"), "no key came"),
        (record(22, hello(suite=0x33)) + record(21, b"\x02\x28"), "after the server had chosen"),
        (record(21, b"\x02"), "alert of 1 bytes"),
        (b"\x16\x03\x03\x00\x00", "0 bytes"),
        (b"\x16\x03\x03\x7f\xff", "32767 bytes"),
        (record(22, b"\x02\xff\xff\xff"), "announced"),
    ],
)
def test_what_breaks_the_rules_is_malformed(data: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        answer(data)


def test_the_names_are_those_that_openssl_knows() -> None:
    words = ["openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    listed: list[Any] = re.findall(r"0x(..),0x(..) - (TLS_\S+)", said)
    theirs = {int(high + low, 16): name for high, low, name in listed if not re.search("PSK|SRP|GOST", name)}
    assert theirs.items() <= SUITES.items()
    assert len(SUITES) == len(set(SUITES.values()))
    assert ephemeral(0xC02B)
    assert not ephemeral(0x002F)


def test_who_hangs_up_is_asked_twice_or_at_two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in answers: no server hangs up at one address once and never again."""
    targets = [Target("imaps", address, 993, "mail.example.test") for address in ("192.0.2.1", "2001:db8::1")]
    asked: list[tuple[str, str]] = []

    def ask(target: Target, version: str, *_: object) -> offers.Reply:
        asked.append((version, target.address))
        whim = version == "TLSv1" and target is targets[1] and asked.count(asked[-1]) == 1
        if version in ("SSLv3", "TLSv1.1") or whim:
            return offers.Reply("refused", "closes the connection upon the hello")
        return offers.Reply("agreed", version, version)

    monkeypatch.setattr(offers, "_ask", ask)
    seen = offers.versions(targets)
    assert [one.offered for one in seen] == [("TLSv1", "TLSv1.2", "TLSv1.3")] * 2
    assert len(asked) == 2 * len(VERSIONS) + 1
    assert asked.count(("TLSv1", "2001:db8::1")) == 2
    assert len(offers.versions(targets[:1])[0].offered) == 3
    assert asked.count(("SSLv3", "192.0.2.1")) == 3, "and twice where there is one address only"
