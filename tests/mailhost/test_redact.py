"""What is masked before anything is stored or shown."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailhost import redact

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----"


def test_a_registered_secret_is_masked_in_each_shape_in_which_it_travels():
    redact.register("it's s3cret", login="ann")
    plain = base64.b64encode(b"\0ann\0it's s3cret").decode()
    quoted = "'it'\"'\"'s s3cret'"
    for shape in ("it's s3cret", plain, quoted):
        assert redact.redact(f"before {shape} after") == "before *** after"


def test_a_private_key_is_masked_though_nobody_registered_it():
    text = f"doveconf: Fatal: {KEY}: No such file"
    assert redact.redact(text) == "doveconf: Fatal: [private key ***]: No such file"


def test_a_private_key_that_is_cut_short_is_masked_to_the_end():
    assert "MHcCAQ" not in redact.redact(KEY[:40])
    assert "MHcC" not in redact.redact(KEY[:36])


def test_a_password_hash_is_masked():
    assert redact.redact("ann:$6$abc$defghijk:1") == "ann:***:1"


def test_an_empty_secret_masks_nothing():
    redact.register("")
    assert redact.redact("text") == "text"


@given(st.text())
def test_masking_twice_is_masking_once(text):
    once = redact.redact(text)
    assert redact.redact(once) == once


@pytest.mark.parametrize(("text", "held"), [("all is well", False), (KEY, True)])
def test_the_last_scan_says_whether_a_text_holds_a_secret(text, held):
    assert redact.holds_secret(text) is held


def test_a_password_in_the_owners_settings_is_masked_as_doveconf_prints_it() -> None:
    told = """\
doveadm_password = top secret
  args = user=nobody password=topsecret uid=8
ssl_key_password = "topsecret"
  password = topsecret
auth_verbose_passwords = no
imapc_password = # hidden, use -P to show it
passdb {
  args = nopassword=y
  driver = static
}
pop3c_password =
protocols = imap pop3
"""
    masked = redact.redact(told)
    assert "secret" not in masked
    assert "args = user=nobody password=*** uid=8\n" in masked
    kept = ("auth_verbose_passwords = no", "# hidden, use -P to show it", "nopassword=y", "pop3c_password =\nprotocols")
    assert [text for text in kept if text not in masked] == []
    assert not redact.holds_secret(masked)
