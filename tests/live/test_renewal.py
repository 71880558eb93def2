"""A new certificate on servers with people connected: installed by a reload, proven everywhere, undone if not proven.

The tests of one server tell one story, in their order.
"""

from __future__ import annotations

import hashlib
import imaplib
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runbook import lab
from runbook import record as records

WITHIN = True  # servers are what this is about
ROOT = Path(__file__).resolve().parents[2]
SECTION = "07_renew_certificate"
PASSWORD = "Birne-4!x"
NAMES = ("", "second.")
LOCAL = "/etc/dovecot/local.conf"


@dataclass
class Site:
    """A configured server, whom one of its users trusts, and the sheet that a renewal begins with."""

    server: lab.Server
    product: Any
    looks: Any
    sheet: Path
    trust: ssl.SSLContext

    @contextmanager
    def connected(self) -> Iterator[None]:
        """A user is connected meanwhile, does nothing, and is still connected well after the reload."""
        session = imaplib.IMAP4_SSL(self.server.address, 993, ssl_context=self.trust, timeout=60)
        session.login("berta", PASSWORD)
        session.select()
        yield
        assert session.noop()[0] == "OK", "the same connection as before"
        session.shutdown()

    def issue(self) -> str:
        """A new certificate in the sheet's files; returns its fingerprint."""
        issued = lab.issue([f"{part}{self.server.hostname}" for part in NAMES])
        issued.write(self.server.folder / "tls")
        return fingerprint(issued.leaf)

    def renew(self) -> Any:
        return self.product.run(self.sheet, "--section", SECTION, "--mode", "apply", "--json")

    def served(self) -> set[str]:
        """What clients that are not ours get, on all ports at both addresses."""
        found = set()
        for address in (self.server.address, f"[{self.server.address6}]"):
            for port, words in ((993, []), (995, []), (143, ["-starttls", "imap"]), (110, ["-starttls", "pop3"])):
                shown = subprocess.run(
                    ["openssl", "s_client", "-connect", f"{address}:{port}", *words,
                     "-servername", self.server.hostname],
                    capture_output=True, text=True, check=False, input="", timeout=30,
                )  # fmt: skip
                found.add(fingerprint(shown.stdout))
        return found

    def files(self) -> str:
        """The certificate's and the key's digest on the server."""
        return self.looks.say(f"find /etc -type f -name '{self.server.name}.*' -exec sha256sum {{}} +")

    def statuses(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for _, finding in self.product.last(self.server.name).findings:
            found.setdefault(finding.id, set()).add(finding.status)
        return found


def fingerprint(text: str) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    assert begin in text, text
    pem = begin + text.split(begin, 1)[1].split(end, 1)[0] + end
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@pytest.fixture(scope="module", params=["debian12", "el"])
def site(
    request: pytest.FixtureRequest, product: Any, configured: Callable[[str], lab.Server], looks: Callable[..., Any]
) -> Iterator[Site]:
    server = configured(request.param)
    ran = server.run("useradd -m -s /bin/sh berta && chpasswd -c SHA512 -s 1000", stdin=f"berta:{PASSWORD}\n")
    assert ran.rc == 0, ran
    trust = ssl.create_default_context(cafile=str(server.ca))
    trust.check_hostname = False  # it goes by its address
    sheet = product.sheet(server, "two-names", mail_names=[f"{part}{server.hostname}" for part in NAMES], resolver=None,
                          addresses=[server.address, server.address6])  # fmt: skip
    yield Site(server, product, looks(server), sheet, trust)
    shutil.rmtree(ROOT / "records" / server.name, ignore_errors=True)


def test_a_renewal_is_proven_everywhere_and_sessions_live_on(site: Site):
    new, unit = site.issue(), site.looks.unit()
    with site.connected():
        told = site.renew()
    assert told.rc == 0, told.text
    assert (told.json["verdict"], told.json["changes"]) == ("as-wanted", 3)
    assert site.served() == {new}
    assert site.looks.unit() == unit, "reloaded, not restarted"
    subjects = {f.subject for _, f in site.product.last(site.server.name).findings if f.id == "served-certificate"}
    assert len(subjects) == 12, "four services at two addresses, and by the other name at one"
    kept = [f for _, f in site.product.last(site.server.name).findings if f.id == "session-kept"]
    assert [f.status for f in kept] == ["pass", "pass"]
    site.looks.no_leftovers()


def test_the_second_time_there_is_nothing_to_change(site: Site, tmp_path: Path):
    """By plain papermill, in JupyterLab's and automation's way."""
    before = (site.files(), site.looks.etc(), site.looks.unit())
    done = subprocess.run(
        [sys.executable, "-m", "papermill", f"notebooks/{SECTION}.ipynb", str(tmp_path / "out.ipynb"),
         "--no-progress-bar", "-p", "server", str(site.sheet), "-p", "mode", "apply"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = records.listing(ROOT / "records", site.server.name)
    assert (record.verdict, record.changes) == ("as-wanted", 0)
    assert (site.files(), site.looks.etc(), site.looks.unit()) == before


@pytest.mark.parametrize("site", ["debian12"], indirect=True)  # the same code on every system: once is enough
def test_a_renewal_that_does_not_prove_itself_is_undone(site: Site):
    # 995 has the old certificate by itself, and keeps it
    own = "protocol pop3 {\n  ssl_cert = </root/old.crt\n  ssl_key = </root/old.key\n}\n"
    name = site.server.name
    site.looks.say(f"cp /etc/ssl/certs/{name}.crt /root/old.crt; cp /etc/ssl/private/{name}.key /root/old.key")
    site.looks.say(f"cat >{LOCAL} <<'EOF'\n{own}EOF\ndoveadm reload; sleep 0.5")
    old, files, unit = site.served(), site.files(), site.looks.unit()
    assert len(old) == 1
    new = site.issue()
    with site.connected():
        told = site.renew()
    assert (told.rc, told.json["verdict"], told.json["changes"]) == (1, "failed", 0), told.text
    assert "fail" in site.statuses()["change-applied"]
    assert site.statuses()["session-kept"] == {"pass"}
    assert site.served() == old != {new}
    assert (site.files(), site.looks.unit()) == (files, unit)
    site.looks.no_leftovers()
