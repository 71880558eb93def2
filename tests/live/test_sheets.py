"""Sheets and firewalls other than the lab's own: from nothing to secure, and no change in a second run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from runbook import lab

WITHIN = True  # servers are what this is about
# An owner's own rules; what they let in is for the connect from outside to tell.
RULES = """\
set -e
for tool in iptables ip6tables; do
    $tool -A INPUT -i lo -j ACCEPT
    $tool -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    $tool -A INPUT -p tcp -m multiport --dports 22,993,995 -j ACCEPT
done
iptables -A INPUT -p icmp -j ACCEPT
ip6tables -A INPUT -p ipv6-icmp -j ACCEPT
iptables -P INPUT DROP
ip6tables -P INPUT DROP
"""


def findings(told: Any, name: str) -> list[dict[str, Any]]:
    found = json.loads((Path(told.json["record"]) / "findings.json").read_text())
    return [each for each in found if each["id"] == name]


def twice(product: Any, path: Path) -> Any:
    """Apply, and again: as wanted, the second time with no change. What the first run told."""
    first = product.run(path, "--mode", "apply", "--json")
    assert (first.rc, first.json["verdict"]) == (0, "as-wanted"), first.text[-3000:]
    again = product.run(path, "--mode", "apply", "--json")
    assert (again.rc, again.json["verdict"], again.json["changes"]) == (0, "as-wanted", 0), again.text[-3000:]
    return first


def test_the_default_firewall_on_named_addresses_with_tls_13_alone(busy_up: Callable[..., lab.Server], product: Any):
    """110 and 143 are rejected by the firewall from the first run on, and nobody listens on the loopback."""
    server = busy_up("el", variant="stock")
    tls = tls_of(server) | {"minimum": "TLSv1.3"}
    listen = [server.address, server.address6]
    path = product.sheet(server, "default", without=("firewall",), listen=listen, tls=tls)
    told = twice(product, path)
    closed = findings(told, "port-closed")
    assert {each["status"] for each in closed} == {"pass"}
    assert {each["section"] for each in closed} == {"04_test", "05_secure", "06_audit"}


def test_rules_of_the_owners_own_are_left_alone_and_proven_from_outside(
    busy_up: Callable[..., lab.Server], product: Any, looks: Any
):
    server = busy_up("debian11", variant="bare")
    ran = server.run(RULES)
    assert ran.rc == 0, ran
    before = looks(server).say("iptables -S; ip6tables -S")
    path = product.sheet(server, "own", without=("firewall",), protocols=["imap"], base_dir="/run/dovecot/")
    told = twice(product, path)
    assert {each["status"] for each in findings(told, "firewall-known")} == {"skip"}
    assert {each["status"] for each in findings(told, "port-closed")} == {"pass"}
    assert {each["status"] for each in findings(told, "port-open")} == {"pass"}
    assert looks(server).say("iptables -S; ip6tables -S") == before


def test_an_idle_firewall_is_left_alone_and_what_it_would_close_is_told(
    busy_up: Callable[..., lab.Server], product: Any
):
    server = busy_up("debian13")
    assert server.run("systemctl disable --now firewalld").rc == 0
    told = twice(product, server.sheet)
    (known, *_) = findings(told, "firewall-known")
    assert known["status"] == "pass"
    assert "firewalld is installed, stopped and disabled" in known["actual"]
    assert server.run("systemctl is-active firewalld").out == "inactive\n"
    # what came since is in the next audit's page
    assert server.run("systemd-run -q systemd-socket-activate -l 2525 /bin/cat; useradd -m newcomer").rc == 0
    audit = product.audit(server.name, "--json")
    page = (Path(audit.json["record"]) / "06_audit.html").read_text()
    assert ":2525" in page
    assert "user: newcomer" in page


def tls_of(server: lab.Server) -> dict[str, Any]:
    """The part about TLS in the lab's own sheet."""
    return dict(yaml.safe_load(server.sheet.read_text())["tls"])
