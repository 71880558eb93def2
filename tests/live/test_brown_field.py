"""A server that its owner has set up by the guide's letter, with files of his own: told, made right, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mutations import busy

from runbook import lab

WITHIN = True  # servers are what this is about
# The guide, step by step: its edits in conf.d, the chain in ssl_ca, its wrong path; and an owner's own files.
EDITS = """\
cd /etc/dovecot
sed -i 's|^ssl = .*|ssl = required|; s|^ssl_cert = .*|ssl_cert = </etc/own/leaf.pem|' conf.d/10-ssl.conf
sed -i 's|^ssl_key = .*|ssl_key = </etc/own/key.pem|' conf.d/10-ssl.conf
echo 'ssl_ca = </etc/own/chain.pem' >>conf.d/10-ssl.conf
sed -i 's|^#*mail_location = .*|mail_location = maildir:~/Maildir|' conf.d/10-mail.conf
printf '# of the owner\\npop3_uidl_format = %%g\\n' >conf.d/20-mine.conf
"""
# The same in the words of 2.4, in which the guide's own would not start.
EDITS_24 = """\
cd /etc/dovecot
sed -i 's|^ssl = .*|ssl = required|; s|^ssl_server_cert_file = .*|ssl_server_cert_file = /etc/own/leaf.pem|' \
    conf.d/10-ssl.conf
sed -i 's|^ssl_server_key_file = .*|ssl_server_key_file = /etc/own/key.pem|' conf.d/10-ssl.conf
echo 'ssl_server_ca_file = /etc/own/chain.pem' >>conf.d/10-ssl.conf
sed -i 's|^mail_driver = .*|mail_driver = maildir|; s|^mail_path = .*|mail_path = ~/Maildir|' conf.d/10-mail.conf
printf '# of the owner\\npop3_uidl_format = %%{guid}\\n' >conf.d/20-mine.conf
"""
OWN = """\
echo 'disable_plaintext_auth = yes' >10-auth.conf
echo 'imap_idle_notify_interval = 3 mins' >local.conf
useradd -m berta
printf 'From x\\nSubject: old\\n\\nold mail\\n' >/var/mail/berta && chown berta /var/mail/berta
systemctl restart dovecot
"""
SYSTEMS = {"debian12": EDITS, "debian13": EDITS_24, "el": EDITS}


@pytest.fixture(scope="module", params=SYSTEMS)
def seen(request: pytest.FixtureRequest, lab_up: Callable[..., lab.Server], product: Any, looks: Any) -> dict[str, Any]:
    server = lab_up(request.param, variant="stock")
    for name in ("leaf", "key", "chain"):
        text = (server.folder / "tls" / f"{name}.pem").read_text()
        ran = server.run(f"umask 077; mkdir -p /etc/own; cat >/etc/own/{name}.pem", stdin=text)
        assert ran.rc == 0, ran
    ran = server.run("\n".join(("set -e", SYSTEMS[request.param], OWN, busy(request.param))))
    assert ran.rc == 0, ran
    look = looks(server)
    told = {"server": server, "chain before": chain(server), "files before": owners(look)}
    told["plan"] = product.run(server.name, "--json")
    told["audit"] = product.audit(server.name, "--json")
    told["unchanged"] = owners(look)
    told["apply"] = product.run(server.name, "--mode", "apply", "--json")
    told |= {"chain after": chain(server), "files after": owners(look)}
    return told


def owners(look: Any) -> str:
    """Every file that is not ours, by digest and time."""
    return str(
        look.say(
            "find /etc/dovecot /etc/own /var/mail/berta -type f "
            "! -name 99-dovecot-runbook.conf -printf '%p %m %u %T@ ' -exec sha256sum {} + | sort"
        )
    )


def chain(server: lab.Server) -> int:
    """How many certificates a client is sent."""
    said = server.run("openssl s_client -connect 127.0.0.1:993 -showcerts </dev/null 2>/dev/null")
    return said.out.count("BEGIN CERTIFICATE")


def findings(told: Any, name: str) -> list[dict[str, Any]]:
    found = json.loads((Path(told.json["record"]) / "findings.json").read_text())
    return [each for each in found if each["id"] == name]


COURIER = """\
export DEBIAN_FRONTEND=noninteractive
apt-get -q -y --no-install-recommends install courier-imap courier-pop >/dev/null
"""


def test_another_mail_server_is_named_with_its_ports_and_nothing_is_changed(
    lab_up: Callable[..., lab.Server], product: Any, looks: Any
):
    server = lab_up("debian12")
    ran = server.run(COURIER)
    assert ran.rc == 0, ran
    before = looks(server).everything()
    told = product.run(server.name, "--mode", "apply", "--json")
    assert (told.rc, told.json["verdict"]) == (1, "no-go"), told.text
    held = {each["subject"]: each for each in findings(told, "mail-ports-free") if each["status"] == "fail"}
    assert set(held) == {"110", "143", "993", "995"}
    for port, each in held.items():
        assert f"port {port} is held by couriertcpd (process " in each["message"]
        assert "which is Courier" in each["message"]
        assert "systemctl disable courier-imap" in each["remedy"]
    assert looks(server).everything() == before


def test_a_plan_takes_stock_and_changes_nothing(seen: dict[str, Any]):
    assert seen["plan"].rc != 0
    assert seen["unchanged"] == seen["files before"]
    for name, says in (
        ("guide-chain-in-ssl-ca", "10-ssl.conf line"),
        ("guide-auth-file-path", "/etc/dovecot/10-auth.conf"),
    ):
        (found,) = findings(seen["plan"], name)
        assert found["status"] == "skip", found
        assert "pending 05_secure" in found["message"]
        assert says in found["message"]
        assert found["remedy"]


def test_an_audit_of_it_says_fail(seen: dict[str, Any]):
    for name in ("guide-chain-in-ssl-ca", "guide-auth-file-path"):
        assert [found["status"] for found in findings(seen["audit"], name)] == ["fail"]


def test_mail_in_var_mail_is_told(seen: dict[str, Any]):
    told = [found for found in findings(seen["plan"], "mbox-mail") if found["status"] == "fail"]
    assert "berta" in json.dumps(told)


def test_the_guides_chain_was_never_sent_and_ours_is(seen: dict[str, Any]):
    assert (seen["chain before"], seen["chain after"]) == (1, 2)
    sections = {section["name"]: section["verdict"] for section in seen["apply"].json["sections"]}
    assert sections["05_secure"] == "as-wanted", seen["apply"].text[-2000:]
    for name in ("guide-chain-in-ssl-ca", "guide-auth-file-path"):
        assert {found["status"] for found in findings(seen["apply"], name)} == {"skip", "pass"}


def test_nothing_of_the_owners_is_overwritten_or_lost(seen: dict[str, Any]):
    assert seen["files after"] == seen["files before"]
