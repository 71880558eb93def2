"""SELinux's labels and Red Hat's policy for cryptography, on texts: no container has either."""

from __future__ import annotations

from dataclasses import replace

import pytest
from canned import answer, sample, want

from mailhost import pki
from mailhost.checks import policies
from mailhost.dovecot import DIALECTS, dropin
from mailhost.dovecot.settings import Settings
from mailhost.facts import crypto_policy, labels
from mailhost.facts.dovecot import Dovecot, Line
from mailhost.families import DEBIAN, REDHAT
from runbook import lab

KEY = "/etc/pki/tls/private/mail.example.test.key"
CERTIFICATE = "/etc/pki/tls/certs/mail.example.test.crt"


def read_labels(text: str) -> labels.Labels:
    return answer(labels.query, REDHAT, labels=text)


ENFORCING = read_labels(sample("made/labels-wrong").read_text())
PERMISSIVE = read_labels(sample("centos7-reconstructed/labels-wrong").read_text())


def test_selinux_label_fails_for_a_key_that_was_moved_there_and_for_a_maildir_without_one():
    found = {f.subject: f for f in policies.selinux_label(ENFORCING)}
    assert set(found) == {KEY, "/home/bob/Maildir"}  # alice's is as good
    assert {f.status for f in found.values()} == {"fail"}
    assert (found[KEY].actual, found[KEY].expected, found[KEY].severity) == ("admin_home_t", "cert_t", "high")
    assert "Permission denied" in found[KEY].message
    assert f"restorecon -v {KEY}" in found[KEY].remedy
    assert found["/home/bob/Maildir"].actual == "no label"


def test_selinux_that_only_warns_is_less_severe_and_centos_7_words_it_differently():
    (found,) = policies.selinux_label(PERMISSIVE)
    assert (found.subject, found.status, found.severity) == (CERTIFICATE, "fail", "low")


def test_a_label_that_its_owner_gave_is_kept_and_not_taken_back():
    row = labels.Wrong("/srv/tls/mail.key", "cert_t", "default_t")
    (found,) = policies.selinux_label(replace(ENFORCING, wrong=(row,)))
    assert found.status == "fail"
    assert "semanage fcontext -a -t cert_t" in found.remedy
    assert "restorecon" not in found.remedy


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        ("", []),  # no SELinux
        ("mode=Disabled\n", []),
        ("mode=Enforcing\nfile=/etc/dovecot/dovecot.conf\nasked=0\n", ["pass"]),
        ("mode=Enforcing\nfile=/x\nrestorecon: lstat(/x) failed: I/O error\nasked=1\n", ["unknown"]),
        ("mode=Enforcing\n", ["unknown"]),  # no restorecon
        ("mode=Permissive\n", ["skip"]),
    ],
)
def test_labels_that_are_right_or_not_told(text: str, statuses: list[str]):
    assert [f.status for f in policies.selinux_label(read_labels(text))] == statuses


def test_restorecon_is_asked_and_changes_nothing():
    (command,) = labels.query.commands(want(), REDHAT).values()
    assert all(" -n " in line for line in command.argv[2].splitlines() if "restorecon -" in line)
    assert {CERTIFICATE, KEY, "/etc/dovecot/conf.d/99-dovecot-runbook.conf"} <= set(command.argv)


# ---- crypto-policies

HEEDED = Dovecot(version="2.3.16", ciphers="PROFILE=SYSTEM")
DEFAULT = crypto_policy.CryptoPolicy("DEFAULT", "TLSv1.2", "TLSv1.3", 2)
FUTURE = answer(crypto_policy.query, REDHAT, policy=sample("made/crypto_policy-future").read_text())


@pytest.fixture(scope="module")
def pairs() -> dict[str, pki.Pair]:
    def pair(key: str) -> pki.Pair:
        issued = lab.issue(["mail.example.test"], key=key)
        leaf, *chain = pki.read_bag(issued.fullchain.encode())
        return pki.Pair(leaf, tuple(chain), issued.key.encode())

    return {"rsa": pair("rsa2048"), "ec": pair("ec256")}


def judge(policy: crypto_policy.CryptoPolicy, found: Dovecot = HEEDED, pair: pki.Pair | None = None, **tls: str):
    sheet = want()
    if tls:
        sheet = sheet.model_copy(update={"tls": type("Tls", (), tls)()})
    return {f.subject: f for f in policies.crypto_policy(policy, found, pair, sheet)}


def test_crypto_policy_legacy_fails_with_a_remedy():
    found = judge(crypto_policy.CryptoPolicy("LEGACY", "TLSv1", "TLSv1.3", 1))
    assert (found["policy"].status, found["ssl_cipher_list"].status) == ("fail", "pass")
    assert "update-crypto-policies --set DEFAULT" in found["policy"].remedy


@pytest.mark.parametrize("name", ["DEFAULT", "DEFAULT:NO-SHA1", "FIPS", "FIPS:OSPP"])
@pytest.mark.parametrize("minimum", ["TLSv1.2", "TLSv1.3"])
def test_a_policy_that_leaves_room_for_the_sheet_passes(name: str, minimum: str):
    found = judge(replace(DEFAULT, name=name), minimum=minimum)
    assert {f.status for f in found.values()} == {"pass"}


def test_a_policy_that_contradicts_the_sheets_minimum_fails():
    later = judge(replace(DEFAULT, name="DEFAULT:ONLY13", minimum="TLSv1.3"), minimum="TLSv1.2")["policy"]
    none = judge(replace(DEFAULT, name="DEFAULT:NO13", maximum="TLSv1.2"), minimum="TLSv1.3")["policy"]
    assert (later.status, none.status) == ("fail", "fail")
    assert "set tls.minimum to TLSv1.3" in later.remedy
    assert "no client could connect" in none.message


def test_the_policy_future_and_a_certificate_with_a_short_key_do_not_go_together(pairs: dict[str, pki.Pair]):
    bad = judge(FUTURE, pair=pairs["rsa"])["policy"]
    assert bad.status == "fail"
    assert "RSA key of 2048 bits" in bad.message
    assert judge(FUTURE, pair=pairs["ec"])["policy"].status == "pass"
    assert judge(DEFAULT, pair=pairs["rsa"])["policy"].status == "pass"


def test_a_cipher_list_of_somebodys_own_is_named_with_its_file():
    line = Line("/etc/dovecot/conf.d/20-own.conf", 4, "ssl_cipher_list", "ssl_cipher_list = HIGH")
    found = judge(DEFAULT, replace(HEEDED, ciphers="HIGH", lines=(line,)))["ssl_cipher_list"]
    assert (found.status, found.expected, found.actual) == ("fail", "PROFILE=SYSTEM", "HIGH")
    assert "/etc/dovecot/conf.d/20-own.conf line 4" in found.message
    assert judge(DEFAULT, replace(HEEDED, ciphers=None))["ssl_cipher_list"].status == "unknown"
    assert set(judge(DEFAULT, Dovecot())) == {"policy"}  # not installed yet


def test_without_such_a_policy_there_is_nothing_to_judge():
    assert crypto_policy.query.commands(want(), DEBIAN) == {}
    assert judge(answer(crypto_policy.query, REDHAT, policy="")) == {}
    assert judge(answer(crypto_policy.query)) == {}


@pytest.mark.parametrize("speaks", DIALECTS[1:], ids=lambda speaks: speaks.VERSION)
def test_our_drop_in_never_overrides_the_policy(speaks):
    """Red Hat 7, which has Dovecot 2.2, knows no such policy."""
    full = Settings(
        ("imap", "pop3"),
        ("*",),
        "/run/dovecot",
        "~/Maildir",
        "required",
        "/crt",
        "/key",
        "TLSv1.2",
        cleartext_refused=True,
    )
    text = dropin.render(dropin.blocks(speaks, full), sheet="mail")
    assert "cipher" not in text
    assert "curve" not in text
