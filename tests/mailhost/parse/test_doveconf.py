"""doveconf's output as rows."""

from __future__ import annotations

from pathlib import Path

from mailhost.parse.doveconf import Row, config_path, rows, version

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "doveconf"


def test_sections_values_and_quotes():
    text = (
        'protocols = " imap pop3"\nnamespace inbox {\n  mailbox "Sent Messages" {\n    special_use = "\\\\Sent"\n}\n}\n'
    )
    assert rows(text) == (
        Row((), "protocols", " imap pop3"),
        Row(("namespace inbox", 'mailbox "Sent Messages"'), "special_use", "\\Sent"),
    )


def test_an_empty_section_is_not_lost():
    assert rows("passdb pam {\n}\nssl = no\n") == (Row(("passdb pam",), "", ""), Row((), "ssl", "no"))


def test_a_value_may_hold_an_equals_sign_and_comments_are_passed_over():
    assert rows("# a = b\nmail_location = mbox:~/mail:INBOX=/var/mail/%u\n") == (
        Row((), "mail_location", "mbox:~/mail:INBOX=/var/mail/%u"),
    )


def test_the_first_line_names_the_file():
    for system in ("debian12", "debian13"):
        assert config_path((SAMPLES / system / "stock_changed.txt").read_text()) == "/etc/dovecot/dovecot.conf"
    assert config_path("nothing") is None


def test_versions():
    assert version("2.3.19.1 (9b53102964)\n") == "2.3.19.1"
    assert version("2.4.1-4 (7d8c0e5759)\n") == "2.4.1"
    assert version("") is None
