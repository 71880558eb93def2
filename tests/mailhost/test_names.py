"""Names as a resolver answers for them: found, missing, and nobody there are three different things."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from mailhost import names

ZONE = {
    ("mail.example.test.", "A"): "192.0.2.10",
    ("mail.example.test.", "AAAA"): "2001:db8::10",
    ("v4.example.test.", "A"): "192.0.2.11",
}
EXISTS = {"mail.example.test.", "v4.example.test.", "empty.example.test."}


@contextmanager
def nameserver(*, silent=False):
    """A name server on a free port of this machine's loopback; a silent one never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        over = threading.Event()

        def serve():
            while not over.is_set():
                try:
                    data, peer = server.recvfrom(4096)
                except TimeoutError:
                    continue
                if not silent:
                    server.sendto(_reply(data), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


def _reply(data):
    asked = dns.message.from_wire(data)
    reply = dns.message.make_response(asked)
    reply.flags |= dns.flags.RA
    name, kind = asked.question[0].name.to_text(), dns.rdatatype.to_text(asked.question[0].rdtype)
    if (name, kind) in ZONE:
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, ZONE[name, kind]))
    elif name not in EXISTS:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply.to_wire()


@pytest.fixture
def answers(monkeypatch):
    """`names.ask` of a name server that answers, or of a silent one."""

    def ask(*asked, silent=False):
        monkeypatch.setattr(names, "_SECONDS", 0.5)
        with nameserver(silent=silent) as port:
            init = dns.resolver.Resolver.__init__

            def on_port(self, *args, **keywords):
                init(self, *args, **keywords)
                self.port = port

            monkeypatch.setattr(dns.resolver.Resolver, "__init__", on_port)
            return names.ask(asked, "127.0.0.1")

    return ask


def test_both_kinds_of_addresses_ipv4_first(answers):
    found = answers("mail.example.test", "v4.example.test")
    assert found["mail.example.test"].addresses == ("192.0.2.10", "2001:db8::10")
    assert found["v4.example.test"] == names.Resolved("v4.example.test", ("192.0.2.11",))


@pytest.mark.parametrize("name", ["nosuch.example.test", "empty.example.test"])
def test_a_name_without_address_is_missing_and_no_problem(answers, name):
    assert answers(name)[name] == names.Resolved(name, missing=True)


def test_a_resolver_that_never_answers_is_a_problem_and_no_missing_name(answers):
    found = answers("mail.example.test", silent=True)["mail.example.test"]
    assert not found.missing
    assert "no answer" in found.problem


def test_addresses_return_themselves_without_a_question():
    assert names.resolve(["192.0.2.1", "2001:DB8::1"], "192.0.2.255") == {
        "192.0.2.1": ("192.0.2.1",),
        "2001:DB8::1": ("2001:db8::1",),
    }
