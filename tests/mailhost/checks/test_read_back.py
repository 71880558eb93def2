"""Read back from each dialect: what the owner's later file says wins, and is named with its file and line."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from canned import SAMPLES, answer, want

from mailhost.checks import dovecot as checks
from mailhost.dovecot import dialect, dropin
from mailhost.dovecot.settings import wanted
from mailhost.facts import dovecot
from mailhost.facts.system import System
from mailhost.families import DEBIAN, REDHAT, Family
from mailhost.finding import Finding

LOCAL = "/etc/dovecot/local.conf"


@dataclass(frozen=True)
class Server:
    """What one server's doveconf told, and how its dialect spells what the owner overrides."""

    samples: str
    version: str
    family: Family
    own: Mapping[str, str] = field(default_factory=dict)


# setting to the owner's line for it; each is the value of another server than the sheet's
SERVERS = (
    Server(
        "dovecot-2.2.10", "2.2.10", REDHAT,
        {
            "ssl": "ssl = yes",
            "ssl_protocols": "ssl_protocols = !SSLv2 !SSLv3",
            "ssl_cert": "ssl_cert = </etc/pki/own.crt",
            "mail_location": "mail_location = mbox:~/mail",
            "disable_plaintext_auth": "disable_plaintext_auth = no",
        },
    ),
    Server(
        "debian12", "2.3.19.1", DEBIAN,
        {
            "ssl": "ssl = yes",
            "ssl_min_protocol": "ssl_min_protocol = TLSv1",
            "ssl_cert": "ssl_cert = </etc/ssl/own.crt",
            "mail_location": "mail_location = mbox:~/mail",
            "disable_plaintext_auth": "disable_plaintext_auth = no",
        },
    ),
    Server(
        "debian13", "2.4.1-4", DEBIAN,
        {
            "ssl": "ssl = yes",
            "ssl_min_protocol": "ssl_min_protocol = TLSv1",
            "ssl_server_cert_file": "ssl_server_cert_file = /etc/ssl/own.crt",
            "mail_driver": "mail_path = ~/mail",
            "auth_allow_cleartext": "auth_allow_cleartext = yes",
        },
    ),
)  # fmt: skip


def read(server: Server, line: str = "") -> dovecot.Dovecot:
    """The fact as the server tells it, with one line in the owner's local.conf."""
    folder = SAMPLES / "doveconf" / server.samples
    speaks = dialect(server.version)
    asked, changed = ((folder / f"secured_{what}.txt").read_text() for what in ("asked", "changed"))
    if "shutdown_clients" not in asked:
        asked += "shutdown_clients = no\n"  # these samples are older than this line of the drop-in
    if line:
        name = line.partition(" = ")[0]
        asked = "".join(f"{line}\n" if old.startswith(f"{name} =") else old for old in asked.splitlines(keepends=True))
    text = dropin.render(dropin.blocks(speaks, wanted(want(), server.family, ipv6=True)), sheet="mail.example.test")
    silent = {f"asked {version}": "" for version in ("2.2", "2.3", "2.4") if version != speaks.VERSION}
    numbered = [f"{dovecot.CONFIG}/conf.d/{dropin.NAME}:{n}:{row}" for n, row in enumerate(text.splitlines(), 1)]
    outputs: dict[str, str] = {
        "version": f"{server.version} (abc)\n",
        f"asked {speaks.VERSION}": asked,
        **silent,
        "changed": changed,
        "valid": "",
        "files": "",
        "lines": "\n".join([*numbered, *([f"{LOCAL}:7:{line}"] if line else [])]),
        "drop-in": base64.b64encode(text.encode()).decode(),
        "time": "100\n",
        "instances": "",
        "layout": (folder / "layout.txt").read_text(),
        "active": "active\n",
    }
    return answer(dovecot.query, server.family, **outputs)


def effective(server: Server, found: dovecot.Dovecot) -> dict[str, Finding]:
    # the samples are of servers with other names
    skipped = {"ssl_cert", "ssl_key", "ssl_server_cert_file", "ssl_server_key_file"}
    judged = checks.settings_effective(found, System(ipv6=True), want(), server.family)
    return {f.subject: f for f in judged if f.status != "pass" and f.subject not in skipped}


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.version)
def test_a_secured_server_is_read_back_as_the_sheet_says(server: Server):
    assert effective(server, read(server)) == {}


@pytest.mark.parametrize(
    ("server", "subject"),
    [pytest.param(server, subject, id=f"{server.version} {subject}") for server in SERVERS for subject in server.own],
)
def test_a_value_that_the_owners_later_file_overrides_fails_with_file_and_line(server: Server, subject: str):
    line = server.own[subject]
    judged = checks.settings_effective(read(server, line), System(ipv6=True), want(), server.family)
    (found,) = [f for f in judged if f.subject == subject]
    assert found.status == "fail"
    assert f"{LOCAL} line 7 ({line})" in found.message
    assert f"{LOCAL} line 7" in found.remedy
