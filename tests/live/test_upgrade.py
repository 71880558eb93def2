"""A server set up on Debian 12 gets the Dovecot of Debian 13: told before, repaired after, by the same sheet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook import lab

WITHIN = True  # servers are what this is about
OWNERS = "/etc/dovecot/conf.d/20-mine.conf"
# every file with its rights, time and digest
FILES = (
    "cd /etc/dovecot && find . -type f -printf '%p %m %u %T@\\n' | sort && find . -type f -exec sha256sum {} + | sort"
)


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
    # and what an owner's own file of 2.3 does under 2.4
    say = looks(server).say
    say(f"printf '# of the owner\\nmail_max_userip_connections = 20\\ndisable_plaintext_auth = yes\\n' >{OWNERS}")
    told["files"] = say(FILES)
    told["refused"] = product.run(server.name, "--mode", "apply", "--json")
    told["files after"] = say(FILES)
    say(f"sed -i '/^disable_plaintext_auth/d' {OWNERS}")
    told["repaired"] = product.run(server.name, "--mode", "apply", "--json")
    told["again"] = product.run(server.name, "--mode", "apply", "--json")
    told["version"] = looks(server).say("dovecot --version")
    told["drop-in"] = looks(server).say("cat /etc/dovecot/conf.d/99-dovecot-runbook.conf")
    return told


def test_the_audit_says_before_that_it_would_not_start(upgraded: dict[str, Any]):
    assert upgraded["offered"].json["verdict"] == "failed"
    found = failed(upgraded["offered"])
    assert list(found) == ["upgrade-ready", "update-pending"]  # what is offered is newer than what runs
    assert "would not start under 2.4" in found["upgrade-ready"]


def test_after_the_upgrade_it_does_not_start_and_the_audit_names_the_line(upgraded: dict[str, Any]):
    assert "Unknown setting: mail_location" in upgraded["apt"].out
    found = failed(upgraded["down"])
    assert {"configuration-valid", "unit-active", "drop-in-as-written"} <= set(found)


def test_a_file_of_the_owners_that_24_refuses_is_named_with_its_line_and_nothing_is_touched(upgraded: dict[str, Any]):
    assert upgraded["refused"].json["verdict"] == "failed"
    message = failed(upgraded["refused"])["change-applied"]
    assert f"{OWNERS} line 3" in message
    assert "Unknown setting: disable_plaintext_auth" in message
    assert upgraded["files after"] == upgraded["files"]


def test_the_same_sheet_repairs_it(upgraded: dict[str, Any]):
    assert upgraded["repaired"].rc == 0, upgraded["repaired"].text[-3000:]
    assert upgraded["repaired"].json["verdict"] == "as-wanted"
    assert upgraded["version"].startswith("2.4.")
    assert "mail_driver = maildir\n" in upgraded["drop-in"]
    assert "ssl = required\nssl_server_cert_file = /" in upgraded["drop-in"]


def test_and_then_there_is_nothing_left_to_do(upgraded: dict[str, Any]):
    assert (upgraded["again"].rc, upgraded["again"].json["changes"]) == (0, 0)
