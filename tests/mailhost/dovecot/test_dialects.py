"""One contract for every dialect: what is rendered is golden, and what a real Dovecot tells is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailhost.dovecot import DIALECTS, dialect, dropin, expressible
from mailhost.dovecot.settings import Dialect, Settings
from mailhost.errors import UnsupportedError
from mailhost.parse import doveconf

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FULL = Settings(
    protocols=("imap", "pop3"),
    listen=("*", "::"),
    maildir="~/Maildir",
    ssl="required",
    certificate_path="/etc/ssl/certs/mail.example.test.crt",
    key_path="/etc/ssl/private/mail.example.test.key",
    minimum="TLSv1.2",
    cleartext_refused=True,
)
TEMPORARY = Settings(ssl="no", cleartext_refused=True)
every = pytest.mark.parametrize("speaks", DIALECTS, ids=[d.VERSION for d in DIALECTS])


@every
@pytest.mark.parametrize(("name", "tls"), [("configured", TEMPORARY), ("secured", FULL)])
def test_renders_the_golden_drop_in(speaks: Dialect, name: str, tls: Settings):
    text = dropin.render(dropin.Blocks(speaks.mail(FULL), speaks.tls(tls)), sheet="mail.example.test")
    assert text == (SAMPLES / "dropins" / speaks.VERSION / f"{name}.conf").read_text()


@every
def test_a_drop_in_is_taken_apart_into_what_it_was_made_of(speaks: Dialect):
    parts = dropin.blocks(speaks, FULL)
    assert dropin.split(dropin.render(parts, sheet="x.example.test")) == parts


@every
def test_what_is_left_alone_is_not_written(speaks: Dialect):
    assert dropin.blocks(speaks, Settings()) == dropin.Blocks()


@every
def test_every_setting_that_is_written_is_one_that_is_asked_for(speaks: Dialect):
    asked = {name for names in speaks.NAMES.values() for name in names}
    parts = dropin.blocks(speaks, FULL)
    assert {line.partition(" = ")[0] for line in (*parts.mail, *parts.tls)} <= asked


@every
def test_nothing_told_is_nothing_known(speaks: Dialect):
    assert speaks.read((), ()) == Settings()


def test_only_24_has_no_angle_bracket_and_22_names_no_version_that_its_openssl_may_not_know():
    tls = {d.VERSION: "\n".join(d.tls(FULL)) for d in DIALECTS}
    assert {version: "<" in text for version, text in tls.items()} == {"2.2": True, "2.3": True, "2.4": False}
    assert "ssl_protocols = TLSv1.2" in tls["2.2"]
    assert "SSLv2" not in tls["2.2"]
    assert not any("dovecot_config_version" in text for text in tls.values())


@pytest.mark.parametrize(
    ("system", "speaks", "maildir"),
    [
        ("debian12", "2.3", "mbox:~/mail:INBOX=/var/mail/%u"),
        ("debian13", "2.4", "mbox:%{home}/mail:INBOX=/var/mail/%{user}"),
    ],
)
def test_reads_what_a_real_dovecot_told(system: str, speaks: str, maildir: str):
    def read(stage: str) -> Settings:
        folder = SAMPLES / "doveconf" / system
        asked, changed = (doveconf.rows((folder / f"{stage}_{what}.txt").read_text()) for what in ("asked", "changed"))
        return dialect(speaks).read(asked, changed)

    assert read("stock") == Settings(
        protocols=("imap", "pop3"),
        listen=("*", "::"),
        base_dir="/run/dovecot",
        maildir=maildir,
        ssl="yes",
        certificate_path="/etc/dovecot/private/dovecot.pem",
        key_path="/etc/dovecot/private/dovecot.key",
        minimum="TLSv1.2",
        cleartext_refused=True,
    )
    secured = read("secured")
    assert (secured.maildir, secured.ssl, secured.cleartext_refused) == ("~/Maildir", "required", True)
    assert secured.certificate_path == "/etc/ssl/certs/dxone.crt"


def test_22_is_strict_only_when_every_old_version_is_refused():
    def minimum(value: str) -> str | None:
        return dialect("2.2.10").read((doveconf.Row((), "ssl_protocols", value),), ()).minimum

    strict = ("TLSv1.2", "!SSLv2 !SSLv3 !TLSv1 !TLSv1.1", "!SSLv3, !TLSv1, !TLSv1.1", "TLSv1.1 TLSv1.2 !TLSv1.1")
    assert {minimum(value) for value in strict} == {"TLSv1.2"}
    lax = ("!SSLv2 !SSLv3", "TLSv1.1 TLSv1.2", "!SSLv2", "")
    assert [minimum(value) for value in lax] == list(lax)


def test_24_inbox_elsewhere_is_not_the_maildir():
    def maildir(inbox: str) -> str | None:
        text = f"mail_driver = maildir\nmail_path = ~/Maildir\nmail_inbox_path = {inbox}\n"
        return dialect("2.4.1").read(doveconf.rows(text), ()).maildir

    assert maildir("~/Maildir") == maildir(".") == "~/Maildir"
    assert maildir("/var/mail/%{user}") == "maildir:~/Maildir:INBOX=/var/mail/%{user}"
    assert maildir("") == "maildir:~/Maildir:INBOX="


@pytest.mark.parametrize(
    ("version", "names"),
    [("2.2.36", "ssl_protocols of Dovecot 2.2"), ("2.3.13", "ssl_min_protocol of Dovecot 2.3.13")],
)
def test_a_version_that_cannot_be_limited_to_tls_13_says_so(version: str, names: str):
    with pytest.raises(UnsupportedError, match=rf"{names} \(tls\.minimum\) cannot be TLSv1\.3"):
        expressible(version, Settings(minimum="TLSv1.3"))
    expressible(version, Settings(minimum="TLSv1.2"))


@pytest.mark.parametrize("version", ["2.3.15", "2.3.19.1", "2.3.21", "2.4.1"])
def test_others_can(version: str):
    expressible(version, Settings(minimum="TLSv1.3"))


@every
def test_a_value_of_more_than_one_line_is_never_rendered(speaks: Dialect):
    for odd in ("::\nssl = no", "::\r", "::\0"):
        with pytest.raises(UnsupportedError, match="listen of Dovecot"):
            dropin.blocks(speaks, Settings(listen=("*", odd)))


@pytest.mark.parametrize(("version", "speaks"), [("2.2.10", "2.2"), ("2.3.19.1", "2.3"), ("2.4.1-4", "2.4")])
def test_the_dialect_follows_the_version(version: str, speaks: str):
    assert speaks == dialect(version).VERSION


@pytest.mark.parametrize("version", ["2.1.17", "2.5.0", "3.0", "", "2.40.1", "CE 2.4"])
def test_an_unknown_version_is_refused(version: str):
    with pytest.raises(UnsupportedError, match=r"2\.2, 2\.3, 2\.4"):
        dialect(version)
