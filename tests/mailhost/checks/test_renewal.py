"""The deploy hook of the ACME client: there, as written, and run by somebody."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mailhost import acme, checks, pki, sheet
from mailhost.facts.certificate_files import File
from mailhost.facts.renewal_hook import RenewalHook
from mailhost.families import DEBIAN


def want(client: str) -> sheet.Sheet:
    folder = "/etc/letsencrypt/live/mail"
    tls = {"renewed_by": client, "certificate_path": f"{folder}/fullchain.pem", "key_path": f"{folder}/privkey.pem"}
    values = {"name": "mail", "mail_names": ["mail.example.test"], "tls": tls}
    return sheet.from_mapping(values, base=Path(), source="test")


def good(client: str) -> RenewalHook:
    hook = acme.hook(want(client).tls, DEBIAN.unit)
    assert hook is not None
    files = tuple(File(p.path, pki.sha256(p.text.encode()), p.mode, "root:root") for p in hook.parts)
    return RenewalHook(files, hook.watch, enabled=bool(hook.watch), active=bool(hook.watch))


@pytest.mark.parametrize("client", ["certbot", "lego", "acme.sh"])
def test_one_that_is_there_passes(client: str):
    (finding,) = checks.renewal.hook(good(client), want(client), DEBIAN)
    assert (finding.id, finding.status) == ("renewal-hook", "pass")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"digest": None}, "is missing"),
        ({"digest": "0" * 64}, "has another content"),
        ({"mode": "0644"}, "is 0644 root:root, not 0755 root:root"),
        ({"owner": "eve:eve"}, "is 0755 eve:eve, not 0755 root:root"),
    ],
)
def test_a_program_that_certbot_would_not_run_or_should_not_fails(wrong: dict[str, str], says: str):
    found = good("certbot")
    broken = dataclasses.replace(found, files=(dataclasses.replace(found.files[0], **wrong),))
    (finding,) = checks.renewal.hook(broken, want("certbot"), DEBIAN)
    assert finding.status == "fail"
    assert says in finding.message
    assert "05_secure" in finding.remedy


@pytest.mark.parametrize(("state", "says"), [({"enabled": False}, "not enabled"), ({"active": False}, "not active")])
def test_nobody_who_watches_fails(state: dict[str, bool], says: str):
    (finding,) = checks.renewal.hook(dataclasses.replace(good("lego"), **state), want("lego"), DEBIAN)
    assert finding.status == "fail"
    assert says in finding.message


def test_nothing_is_judged_without_a_client():
    plain = sheet.from_mapping({"name": "mail", "mail_names": ["mail.example.test"]}, base=Path(), source="test")
    assert checks.renewal.hook(RenewalHook(), plain, DEBIAN) == []
