"""A wrong sheet is told at once, by file, key and remedy, and never by repeating a secret."""

import pytest

from mailhost import redact, sheet
from mailhost.errors import SheetError


@pytest.fixture
def good(tmp_path):
    (tmp_path / "cert.pem").write_text("x")
    (tmp_path / "key.pem").write_text("x")
    return {
        "name": "mail.example.com",
        "mail_names": ["mail.example.com"],
        "tls": {"certificate": "cert.pem", "key": "file:key.pem"},
    }


def build(values, base):
    return sheet.from_mapping(values, base=base, source="parameters/x.yaml")


def test_a_small_sheet_is_enough_and_has_safe_defaults(good, tmp_path):
    built = build(good, tmp_path)
    assert built.ssh_host == "mail.example.com"
    assert built.firewall.wanted() == {"pop3": "closed", "imap": "closed", "pop3s": "open", "imaps": "open"}
    assert built.protocols == ["imap", "pop3"]
    assert built.tls.certificate == str(tmp_path / "cert.pem")


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({"prtocols": ["imap"]}, "prtocols", "unknown key"),
        ({"ssh": {"port": 0}}, "ssh.port", "greater than or equal to 1"),
        ({"ssh": {"port": "22"}}, "ssh.port", "valid integer"),
        ({"ssh": {"porto": 22}}, "ssh.porto", "unknown key"),
        ({"tls": {"certificate": "none.pem", "key": "file:key.pem"}}, "tls.certificate", "no such file"),
        ({"tls": {"certificate": "cert.pem", "key": "file:none.pem"}}, "tls.key", "no such file"),
        ({"tls": {"certificate": "cert.pem"}}, "tls", "key missing"),
        ({"tls": {"certificate": "cert.pem", "key": "file:key.pem", "renewed_by": "lego"}}, "tls", "leave certificate"),
        ({"tls": {"renewed_by": "lego"}}, "tls", "certificate_path and key_path"),
        ({"tls": {"renewed_by": "certbot", "certificate_path": "/c.pem", "key_path": "/k.pem"}}, "tls", "live/NAME"),
        ({"tls": {"renewed_by": "certbutt"}}, "tls.renewed_by", "'certbot', 'lego' or 'acme.sh'"),
        ({"tls": {"certificate": "cert.pem", "key": "prompt:"}}, "tls.key", "cannot be typed in"),
        ({"ssh": {"sudo_password": "hunter2"}}, "ssh.sudo_password", "in clear"),
        ({"test_account": {"name": "ann", "password": "hunter2"}}, "test_account.password", "in clear"),
        ({"maildir": "~/Mail dir"}, "maildir", "plain path"),
        ({"maildir": "/srv/mail"}, "maildir", "begin with ~/"),
        ({"maildir": "~/../x"}, "maildir", "plain path"),
        ({"base_dir": "/run/x\nssl = no"}, "base_dir", "plain absolute path"),
        ({"listen": ["*", "::%lo\nauth_debug_passwords = yes"]}, "listen.1", "without a scope"),
        ({"addresses": ["fe80::1%eth0"]}, "addresses.0", "without a scope"),
        ({"mail_names": []}, "mail_names", "at least 1"),
        ({"mail_names": ["a b"]}, "mail_names.0", "not a host name"),
        ({"resolver": "ns.example.com"}, "resolver", "IPv4 or IPv6"),
        ({"probe_from": "jump"}, "probe_from", "needs ssh.jump"),
        ({"ssh": {"jump": "bastion:ssh"}}, "ssh.jump", "'ssh' is not a port, a number from 1 to 65535"),
        ({"ssh": {"jump": "bastion:"}}, "ssh.jump", "'' is not a port"),
        ({"ssh": {"jump": "bastion:70000"}}, "ssh.jump", "'70000' is not a port"),
        ({"ssh": {"jump": "bastion:0"}}, "ssh.jump", "'0' is not a port"),
        ({"ssh": {"jump": "fd00::1"}}, "ssh.jump", "an IPv6 address stands in brackets"),
        ({"ssh": {"jump": "[fd00::1]22"}}, "ssh.jump", "is not [user@]host[:port]"),
        ({"ssh": {"jump": "[192.0.2.1]:22"}}, "ssh.jump", "192.0.2.1"),
        ({"ssh": {"jump": "[fe80::1%eth0]:22"}}, "ssh.jump", "without a scope"),
        ({"ssh": {"jump": "@bastion"}}, "ssh.jump", "not a login name"),
        ({"ssh": {"jump": "ann@"}}, "ssh.jump", "not a host name"),
        ({"ssh": {"jump": "a,b"}}, "ssh.jump", "not a host name"),
        ({"ssh": {"user": "-oProxyCommand=x"}}, "ssh.user", "not a login name"),
        ({"protocols": ["imap", "imap"]}, "protocols", "named twice"),
        ({"mode": True}, "mode", "unknown key"),
        ({"failed_logins": -1}, "failed_logins", "greater than or equal to 0"),
        ({"name": "../x"}, "name", "not a host name"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(good, tmp_path, change, key, says):
    with pytest.raises(SheetError) as caught:
        build(good | change, tmp_path)
    text = str(caught.value)
    assert f"parameters/x.yaml: {key}: " in text
    assert says in text
    assert "To do:" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "jump"),
    [
        ("bastion", ("bastion", "", 0)),
        ("bastion.example.org:2222", ("bastion.example.org", "", 2222)),
        ("ann@192.0.2.1:22", ("192.0.2.1", "ann", 22)),
        ("ann@example.org@bastion", ("bastion", "ann@example.org", 0)),
        ("[fd00::1]:22", ("fd00::1", "", 22)),
        ("ann@[fd00::1]", ("fd00::1", "ann", 0)),
    ],
)
def test_a_jump_host_is_taken_apart_in_one_place(good, tmp_path, text, jump):
    assert build(good | {"ssh": {"jump": text}}, tmp_path).ssh.jump == text
    taken = sheet.Jump.parse(text)
    assert (taken.host, taken.user, taken.port) == jump


def test_every_fault_is_told_at_once(good, tmp_path):
    with pytest.raises(SheetError) as caught:
        build(good | {"maildir": "x", "failed_logins": "four"}, tmp_path)
    assert str(caught.value).count("parameters/x.yaml: ") == 2


def test_yaml_that_is_none_says_where(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: [\n")
    with pytest.raises(SheetError, match=r"not valid YAML \(line 2"):
        sheet.load(path, base=tmp_path)


def test_a_missing_sheet_says_how_to_make_one(tmp_path):
    with pytest.raises(SheetError, match="runbook init"):
        sheet.load(tmp_path / "x.yaml", base=tmp_path)


def test_a_secret_is_masked_from_the_moment_that_it_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_WORD", "correct horse battery")
    assert sheet.secret("env:TEST_WORD") == "correct horse battery"
    assert redact.redact("PASS correct horse battery") == "PASS ***"


@pytest.mark.parametrize(
    ("reference", "says"),
    [("env:NOT_SET_ANYWHERE", "which is not set"), ("file:/nowhere", "cannot be read"), ("prompt:", "nobody is there")],
)
def test_a_secret_that_cannot_be_had_says_how_to_give_it(reference, says, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SheetError, match=says):
        sheet.secret(reference)


def test_a_secret_that_is_too_short_to_be_masked_is_refused(monkeypatch):
    monkeypatch.setenv("TEST_WORD", "test")
    with pytest.raises(SheetError, match="less than 6 characters"):
        sheet.secret("env:TEST_WORD")
    assert redact.redact("test_account") == "test_account"


def test_the_resolved_sheet_holds_references_and_no_secret(good, tmp_path):
    built = build(good | {"test_account": {"name": "ann", "password": "env:PW"}}, tmp_path)
    assert built.resolved()["test_account"] == {"name": "ann", "password": "env:PW"}
