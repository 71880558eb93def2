"""A server set up on Debian 12 gets the Dovecot of Debian 13: told before, repaired after, by the same sheet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook import lab


def failed(told: Any) -> dict[str, str]:
    """Finding to its message."""
    found = json.loads((Path(told.json["record"]) / "findings.json").read_text())
    return {each["id"]: each["message"] for each in found if each["status"] == "fail"}


@pytest.fixture(scope="module")
def upgraded(lab_up: Callable[..., lab.Server], product: Any, looks: Any) -> dict[str, Any]:
    """Set up, offered the upgrade, upgraded, repaired; and what was seen on the way."""
    server = lab_up("debian12", variant="next")
    told = {"first": product.run(server.name, "--mode", "apply", "--json")}
    assert told["first"].rc == 0, told["first"].text
    assert server.run("sh /root/upgrade offer").rc == 0
    told["offered"] = product.audit(server.name, "--json")
    # 100 of apt: the package's own script could not start Dovecot
    told["apt"] = server.run("sh /root/upgrade install")
    told["down"] = product.audit(server.name, "--json")
    told["repaired"] = product.run(server.name, "--mode", "apply", "--json")
    told["again"] = product.run(server.name, "--mode", "apply", "--json")
    told["version"] = looks(server).say("dovecot --version")
    told["drop-in"] = looks(server).say("cat /etc/dovecot/conf.d/99-dovecot-runbook.conf")
    return told


def test_the_audit_says_before_that_it_would_not_start(upgraded: dict[str, Any]):
    assert upgraded["offered"].json["verdict"] == "failed"
    found = failed(upgraded["offered"])
    assert list(found) == ["upgrade-ready"]
    assert "would not start under 2.4" in found["upgrade-ready"]


def test_after_the_upgrade_it_does_not_start_and_the_audit_names_the_line(upgraded: dict[str, Any]):
    assert "Unknown setting: mail_location" in upgraded["apt"].out
    found = failed(upgraded["down"])
    assert {"configuration-valid", "unit-active", "drop-in-as-written"} <= set(found)


def test_the_same_sheet_repairs_it(upgraded: dict[str, Any]):
    assert upgraded["repaired"].rc == 0, upgraded["repaired"].text[-3000:]
    assert upgraded["repaired"].json["verdict"] == "as-wanted"
    assert upgraded["version"].startswith("2.4.")
    assert "mail_driver = maildir\n" in upgraded["drop-in"]
    assert "ssl = required\nssl_server_cert_file = /" in upgraded["drop-in"]


def test_and_then_there_is_nothing_left_to_do(upgraded: dict[str, Any]):
    assert (upgraded["again"].rc, upgraded["again"].json["changes"]) == (0, 0)
