"""What cannot be told is unknown, what is not there yet is skipped; broken servers are in the live tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from canned import answer, want

from mailhost import sheet
from mailhost.checks import dovecot as checks
from mailhost.dovecot.settings import Settings
from mailhost.facts import dovecot
from mailhost.facts.certificate_files import CertificateFiles
from mailhost.facts.dovecot import Dovecot
from mailhost.facts.system import System
from mailhost.families import DEBIAN
from mailhost.finding import Finding
from mailhost.parse.doveconf import Row

WANT = sheet.from_mapping({"name": "mail", "mail_names": ["mail.example.test"]}, base=Path(), source="test")
GOOD = Settings(
    protocols=("pop3", "imap"),
    listen=("::", "*"),
    maildir="~/Maildir",
    ssl="required",
    certificate_path="/etc/ssl/certs/mail.crt",
    key_path="/etc/ssl/private/mail.key",
    minimum="TLSv1.2",
    cleartext_refused=True,
    sessions_kept=True,
)


def effective(found: Dovecot, *, want: sheet.Sheet = WANT) -> list[Finding]:
    return [f for f in checks.settings_effective(found, System(ipv6=True), want, DEBIAN) if f.status != "pass"]


def test_the_order_of_protocols_and_addresses_does_not_matter():
    assert effective(Dovecot(version="2.3.19.1", settings=GOOD)) == []


def test_what_doveconf_does_not_tell_is_unknown_and_no_pass():
    found = effective(Dovecot(version="2.4.1"))
    assert {f.status for f in found} == {"unknown"}
    assert "ssl_server_cert_file" in {f.subject for f in found}
    (trusted,) = checks.trusted_networks(Dovecot(version="2.4.1"))
    assert trusted.status == "unknown"


def test_without_a_dovecot_everything_is_skipped_with_its_reason():
    bare = Dovecot()
    found = [
        *checks.configuration_valid(bare),
        *checks.settings_effective(bare, System(), WANT, DEBIAN),
        *checks.drop_in_as_written(bare, System(), WANT, DEBIAN),
        *checks.trusted_networks(bare),
        *checks.certificate_installed(CertificateFiles(), None, WANT, DEBIAN),
        *checks.key_file_protected(CertificateFiles()),
    ]
    assert [f.status for f in found] == ["skip"] * 6
    assert all(f.message for f in found)


@pytest.mark.parametrize(
    ("row", "subject"),
    [
        (Row(("remote 10.0.0.0/8",), "disable_plaintext_auth", "no"), "disable_plaintext_auth"),
        (Row(("local_name mail.example.test",), "ssl_cert", "</other"), "ssl_cert"),
        (Row(("local_name other.example.test",), "ssl_cert", "</other"), None),
        (Row(("protocol imap",), "mail_max_userip_connections", "10"), None),
    ],
)
def test_sections_for_some_connections(row: Row, subject: str | None):
    found = effective(Dovecot(version="2.3.19.1", settings=GOOD, filtered=(row,)))
    assert [f.subject for f in found] == ([subject] if subject else [])


def test_24_prints_the_certificate_of_a_section_in_two_parts():
    row = Row(('local_name "mail.example.test"', "ssl_server"), "cert_file", "/other")
    (finding,) = effective(Dovecot(version="2.4.1", settings=GOOD, filtered=(row,)))
    assert finding.subject == "ssl_server_cert_file"


def test_var_run_is_run():
    want = WANT.model_copy(update={"base_dir": "/var/run/dovecot/"})
    found = Dovecot(version="2.3.19.1", settings=GOOD)
    assert [f.status for f in effective(found, want=want)] == ["unknown"]
    assert effective(replace(found, settings=replace(GOOD, base_dir="/run/dovecot")), want=want) == []


@pytest.mark.parametrize(
    ("version", "changed", "trusted"),
    [
        ("2.3.19.1", "", []),
        ("2.3.19.1", "login_trusted_networks = 10.0.0.0/8\n", ["10.0.0.0/8"]),
        ("2.4.1", "login_trusted_networks {\n  10.0.0.0/8 = yes\n  10.9.0.0/16 = no\n}\n", ["10.0.0.0/8"]),
        ("2.4.1", "protocol imap {\n  login_trusted_networks = ::/0\n}\n", ["::/0 in protocol imap"]),
        ("2.3.19.1", "haproxy_trusted_networks = 10.0.0.9\n", ["10.0.0.9"]),
        ("2.4.1", "haproxy_trusted_networks {\n  10.0.0.9 = yes\n}\n", ["10.0.0.9"]),
    ],
)
def test_networks_are_trusted_in_any_spelling_and_in_any_section(version: str, changed: str, trusted: list[str]):
    own = "" if changed.startswith(("protocol", "haproxy")) else changed
    said = dict.fromkeys(dovecot.query.commands(want(), DEBIAN), "") | {
        "version": version,
        "changed": changed,
        f"asked {version[:3]}": own or "login_trusted_networks = \n",
    }
    found = checks.trusted_networks(answer(dovecot.query, **said))
    assert [f.actual for f in found if f.status == "fail"] == trusted
    assert not [f for f in found if f.status == "unknown"]
