"""A dovecot.conf as upstream's 2.4 lays it out, which reads conf.d first and goes on with settings of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook import lab

WITHIN = True  # servers are what this is about
MAIN = "/etc/dovecot/dovecot.conf"
STATE = f"stat -c '%a %U %Y' {MAIN}; find /etc/dovecot/conf.d -name '*.conf'"
# Upstream's own order and kinds of settings, with the server's own users; its conf.d is empty.
UPSTREAM = """\
set -e
cd /etc/dovecot
version=$(sed -n 's/^dovecot_config_version *= *//p' dovecot.conf)
rm conf.d/*.conf
cat >dovecot.conf <<EOF
dovecot_config_version = $version
dovecot_storage_version = $version

!include_try conf.d/*.conf

protocols {
  imap = yes
}
mail_driver = sdbox
mail_path = ~/mail
namespace inbox {
  inbox = yes
  separator = /
}
passdb pam {
}
userdb passwd {
}
ssl = yes
ssl_server {
  cert_file = /etc/dovecot/private/dovecot.pem
  key_file = /etc/dovecot/private/dovecot.key
}
service imap-login {
  inet_listener imaps {
    ssl = yes
  }
}
EOF
printf '# the last line has no end' >>dovecot.conf
chmod 0640 dovecot.conf
systemctl restart dovecot
"""


def findings(told: Any) -> dict[str, list[dict[str, Any]]]:
    """By id, all that is not a pass."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads((Path(told.json["record"]) / "findings.json").read_text()):
        if each["status"] != "pass":
            found.setdefault(each["id"], []).append(each)
    return found


@pytest.fixture(scope="module")
def seen(lab_up: Callable[..., lab.Server], product: Any, looks: Any) -> dict[str, Any]:
    server = lab_up("debian13", variant="stock")
    ran = server.run(UPSTREAM)
    assert ran.rc == 0, ran
    say = looks(server).say
    told: dict[str, Any] = {"before": say(f"cat {MAIN}"), "state before": say(STATE)}
    told["plan"] = product.run(server.name, "--section", "01", "--section", "03", "--json")
    told["state planned"] = say(STATE)
    told["apply"] = product.run(server.name, "--mode", "apply", "--json")
    told["after"], told["rights after"] = say(f"cat {MAIN}"), say(f"stat -c '%a %U' {MAIN}").strip()
    told["again"] = product.run(server.name, "--section", "03", "--section", "05", "--mode", "apply", "--json")
    # somebody takes the line out again
    say(f"sed -i '/^!include_try conf.d.99/d' {MAIN}; doveadm reload; sleep 0.3")
    told["audit"] = product.audit(server.name, "--json")
    return told


def test_a_plan_says_that_a_drop_in_would_lose_and_changes_nothing(seen: dict[str, Any]):
    (found,) = findings(seen["plan"])["overridden-later"]
    assert found["status"] == "skip"
    assert "mail_driver (line " in found["message"]
    assert "after it has read conf.d" in found["message"]
    assert seen["state planned"] == seen["state before"]


def test_the_sheet_wins_and_every_byte_of_the_owners_stays(seen: dict[str, Any]):
    assert seen["apply"].rc == 0, seen["apply"].text[-3000:]
    assert seen["apply"].json["verdict"] == "as-wanted"
    assert seen["after"].startswith(seen["before"])
    assert seen["after"].removeprefix(seen["before"]).splitlines()[-1] == "!include_try conf.d/99-dovecot-runbook.conf"
    assert seen["rights after"] == "640 root"


def test_the_second_run_changes_nothing(seen: dict[str, Any]):
    assert (seen["again"].rc, seen["again"].json["changes"]) == (0, 0)


def test_without_the_line_the_audit_names_what_wins_with_its_file_and_line(seen: dict[str, Any]):
    found = {each["subject"]: each["message"] for each in findings(seen["audit"])["settings-effective"]}
    # the section `protocols` only adds to what ours says
    assert {"mail_driver", "ssl", "ssl_server_cert_file", "ssl_server_key_file"} <= set(found)
    for subject in ("mail_driver", "ssl", "ssl_server_cert_file"):
        assert f"{MAIN} line " in found[subject], found[subject]
