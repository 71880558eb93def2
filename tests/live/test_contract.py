"""One contract for every Dovecot and every kind of server: the same sheet, the same behaviour.

Each server goes through the same story once, two servers at a time; each row of the table below is one promise
about it. Versions and distributions differ in data only, so the one thing told here per dialect is how an owner's own
file spells a setting.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Product, Waiting
from mutations import busy
from theirs import Verdicts, ours, theirs

from mailhost.probes.target import Target as Port
from mailhost.sheet import PORTS
from runbook import lab

LOCAL = "/etc/dovecot/local.conf"
ELSEWHERE = "/opt/mail/own.conf"
DROP_IN = "/etc/dovecot/conf.d/99-dovecot-runbook.conf"
OLD = "/etc/dovecot/private-of-the-owner"
SECTIONS = {"install": "02_install", "configure": "03_configure", "test": "04_test", "secure": "05_secure",
            "audit": "06_audit"}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A server: its system, in what it differs, and which Dovecot it gets."""

    system: str
    variant: str | None
    dovecot: str

    def __str__(self) -> str:
        return f"{self.system} {self.variant}" if self.variant else self.system


TARGETS = (
    Target("debian11", None, "2.3"),
    Target("debian11", "bare", "2.3"),
    Target("debian12", None, "2.3"),
    Target("debian12", "ufw", "2.3"),
    Target("debian12", "sudo", "2.3"),
    Target("debian12", "jump", "2.3"),
    Target("debian13", None, "2.4"),
    Target("debian13", "no-ipv6", "2.4"),
    Target("el", None, "2.3"),
    Target("el", "sudo-password", "2.3"),
)

PLAIN = tuple(target for target in TARGETS if target.variant is None)
# One of each family and dialect is taken as it is installed, with a process for each login.
STOCK = ("debian13", "el")

# An owner's own file, read after ours: TLS no longer mandatory (line 2), and a certificate of his own.
OWNERS = {
    "2.3": f"# mine\nssl = yes\nssl_cert = <{OLD}/crt\nssl_key = <{OLD}/key\n",
    "2.4": f"# mine\nssl = yes\nssl_server_cert_file = {OLD}/crt\nssl_server_key_file = {OLD}/key\n",
}
S_CLIENT = 'openssl s_client -connect "$1" -verify_hostname "$2" -CAfile "$3" -verify_return_error $4 </dev/null'
EFFECTIVE = {
    "2.3": {
        "ssl = required", "disable_plaintext_auth = yes", "ssl_min_protocol = TLSv1.2",
        "mail_location = maildir:~/Maildir", "protocols = imap pop3",
    },
    "2.4": {
        "ssl = required", "auth_allow_cleartext = no", "ssl_min_protocol = TLSv1.2", "mail_driver = maildir",
        "mail_path = ~/Maildir", "mail_inbox_path = ~/Maildir",
    },
}  # fmt: skip


@dataclass
class Tale:
    """What happened to one server."""

    target: Target
    server: lab.Server
    product: Any
    looks: Any
    apply: Any = None
    again: Any = None
    drifted: Any = None
    refused: Any = None
    state: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, tuple[Verdicts, Verdicts]] = field(default_factory=dict)

    @property
    def own(self) -> str:
        """The owner's file that is read after ours: local.conf, or one in a folder of his own that this includes."""
        return LOCAL if self.target in PLAIN else ELSEWHERE

    def files(self) -> str:
        """Every file and link under /etc; a folder's time is left out, since putting a file back is seen in it."""
        folders = self.looks.say("find /etc -type d").split()
        return "\n".join(row for row in self.looks.etc().splitlines() if row.split(" ")[0] not in folders)

    def findings(self, told: Any) -> list[dict[str, Any]]:
        return list(json.loads((Path(told.json["record"]) / "findings.json").read_text()))


def tell(target: Target, lab_up: Callable[..., lab.Server], product: Any, looks: Any) -> Tale:
    """Everything that the contract judges, in one go: apply, apply again, an owner's edit, a change that fails."""
    server = lab_up(target.system, variant=target.variant)
    if target not in PLAIN or target.system not in STOCK:
        ran = server.run(busy(target.system))
        assert ran.rc == 0, ran
    tale = Tale(target, server, product, looks(server))
    tale.apply = product.run(server.name, "--mode", "apply", "--json")
    if tale.apply.rc != 0:
        return tale
    tale.state["settings"] = tale.looks.say("doveconf -n; for n in $(sed -n 's/^\\([a-z_]*\\) = .*/\\1/p' "
                                            f"{DROP_IN}); do doveconf $n | cat; done")  # fmt: skip
    tale.state["version"] = tale.looks.say("dovecot --version")
    tale.state["before"] = tale.looks.etc()
    tale.state["unit"] = tale.looks.unit()
    tale.again = product.run(server.name, "--mode", "apply", "--json")
    tale.state["after"], tale.state["unit after"] = tale.looks.etc(), tale.looks.unit()
    if target in PLAIN:
        if target.system in STOCK:
            tale.looks.say(busy(target.system))
        tale.verdicts = two_opinions(server, product.folder)
    tale.looks.say(
        f"umask 077; mkdir {OLD}; cp $(sed -n 's/^ssl_.*cert.* = <*//p' {DROP_IN}) {OLD}/crt; "
        f"cp $(sed -n 's/^ssl_.*key.* = <*//p' {DROP_IN}) {OLD}/key; "
        f"mkdir -p {Path(ELSEWHERE).parent}; echo '!include {ELSEWHERE}' >{LOCAL}; "
        f"cat >{tale.own} <<'EOF'\n{OWNERS[target.dovecot]}EOF\ndoveadm reload; echo '# mine' >>{DROP_IN}"
    )
    tale.drifted = product.audit(server.name, "--json")
    # another certificate in the sheet, which the owner's file keeps from being served: the proof must fail
    lab.issue([server.hostname]).write(server.folder / "renewed")
    renewed = server.folder / "renewed"
    tls = yaml.safe_load(server.sheet.read_text())["tls"]
    tls |= {"certificate": str(renewed / "leaf.pem"), "key": f"file:{renewed / 'key.pem'}"}
    path = product.sheet(server, "renewed", tls=tls)
    tale.state["broken"] = tale.files()
    tale.refused = product.run(path, "--mode", "apply", "--json", "--section", "05_secure")
    tale.state["undone"] = tale.files()
    return tale


def two_opinions(server: lab.Server, folder: Path) -> dict[str, tuple[Verdicts, Verdicts]]:
    """Our verdicts and testssl.sh's: one server on all ports, the others with STARTTLS and without."""
    services = [*PORTS] if server.system == "debian13" else ["pop3", "imaps"]
    ports = [Port(service, server.address, PORTS[service], server.hostname) for service in services]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda port: theirs(port, server.ca, folder), ports))
    return {str(port): (ours(port, server.ca), other) for port, other in zip(ports, found, strict=True)}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield Waiting(tmp_path_factory.mktemp("records"), pool)


@pytest.fixture(scope="module")
def tales(
    request: pytest.FixtureRequest, lab_up: Callable[..., lab.Server], product: Any, looks: Any
) -> Iterator[Callable[[Target], Tale]]:
    """The tale of each server that a test asks for, two of them told at a time."""
    asked = [item.callspec.params["target"] for item in request.session.items if item.path == request.path]
    with ThreadPoolExecutor(2) as pool:
        told: dict[Target, Future[Tale]] = {
            target: pool.submit(tell, target, lab_up, product, looks) for target in dict.fromkeys(asked)
        }
        yield lambda target: told[target].result()


# ---- the contract


def section_is_as_wanted(name: str) -> Callable[[Tale], None]:
    def judge(tale: Tale) -> None:
        assert tale.apply.rc == 0, tale.apply.text[-3000:]
        sections = {section["name"]: section["verdict"] for section in tale.apply.json["sections"]}
        assert sections[SECTIONS[name]] == "as-wanted"

    return judge


def installed(tale: Tale) -> None:
    section_is_as_wanted("install")(tale)
    assert tale.state["version"].startswith(tale.target.dovecot)


def configured(tale: Tale) -> None:
    section_is_as_wanted("configure")(tale)
    told = set(tale.state["settings"].splitlines())
    assert EFFECTIVE[tale.target.dovecot] <= told, told
    listen = "*" if tale.target.variant == "no-ipv6" else "*, ::"
    assert {f"listen = {listen}", f"listen = {listen.replace(',', '')}"} & told


def secured(tale: Tale) -> None:
    """The certificate is verified by a client that is not ours; behind a jump host, by one that runs there."""
    section_is_as_wanted("secure")(tale)
    server = tale.server
    jump = lab.find(f"{server.name}-jump")
    ca = "/root/ca.pem" if jump else str(server.ca)
    if jump:
        jump.run(f"cat >{ca}", stdin=server.ca.read_text())
    for port, words in ((993, ""), (995, ""), (143, "-starttls imap"), (110, "-starttls pop3")):
        given = ["sh", "-c", S_CLIENT, "sh", f"{server.address}:{port}", server.hostname, ca, words]
        if jump:
            ran = jump.run(given)
            assert ran.rc == 0, ran
        else:
            done = subprocess.run(given, capture_output=True, text=True, check=False, timeout=30)
            assert done.returncode == 0, done.stderr
    if jump:
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection((server.address, 993), timeout=2)


def unchanged(tale: Tale) -> None:
    assert tale.again.rc == 0, tale.again.text[-3000:]
    assert (tale.again.json["verdict"], tale.again.json["changes"]) == ("as-wanted", 0)
    assert tale.state["after"] == tale.state["before"]
    assert tale.state["unit after"] == tale.state["unit"]


def drift_found(tale: Tale) -> None:
    """The finding names file and line of what wins over us."""
    assert (tale.drifted.rc, tale.drifted.json["verdict"]) == (1, "failed"), tale.drifted.text[-3000:]
    failed = [found for found in tale.findings(tale.drifted) if found["status"] == "fail"]
    effective = [found for found in failed if (found["id"], found["subject"]) == ("settings-effective", "ssl")]
    assert len(effective) == 1, failed
    assert f"{tale.own} line 2 (ssl = yes)" in effective[0]["message"]
    assert effective[0]["remedy"]
    assert any(found["id"] == "drop-in-as-written" for found in failed)


def rolled_back(tale: Tale) -> None:
    """A change that does not prove itself leaves /etc as it was, the owner's edits of our own file included."""
    assert (tale.refused.rc, tale.refused.json["verdict"]) == (1, "failed"), tale.refused.text[-3000:]
    applied = [found for found in tale.findings(tale.refused) if found["id"] == "change-applied"]
    assert [found["status"] for found in applied] == ["fail"]
    assert tale.state["undone"] == tale.state["broken"]


CONTRACT: dict[str, Callable[[Tale], None]] = {
    "install": installed,
    "configure": configured,
    "test": section_is_as_wanted("test"),
    "secure": secured,
    "audit": section_is_as_wanted("audit"),
    "again: 0 changes": unchanged,
    "rollback": rolled_back,
    "drift": drift_found,
}


@pytest.mark.parametrize("contract", CONTRACT)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_contract(
    target: Target, contract: str, tales: Callable[[Target], Tale], record_property: Callable[[str, str], None]
) -> None:
    record_property("row", str(target))
    record_property("column", contract)
    CONTRACT[contract](tales(target))


@pytest.mark.parametrize("target", PLAIN, ids=str)
def test_testssl_says_the_same(target: Target, tales: Callable[[Target], Tale]) -> None:
    """Same versions, same verdicts on chain and name; variants serve what their system's plain server does."""
    tale = tales(target)
    assert tale.apply.rc == 0, tale.apply.text[-3000:]
    assert len(tale.verdicts) in (2, len(PORTS))
    for port, (mine, other) in tale.verdicts.items():
        assert mine == other == Verdicts(("TLSv1.2", "TLSv1.3"), chain=True, name=True), port
