"""A certificate that an ACME client keeps on the server: judged where it lies, and served after each renewal by itself.

No authority that speaks ACME is at hand here. What a client does after it has a new certificate is done in its stead:
certbot writes new files, turns its links to them and runs each program in its folder for deploy hooks; lego and
acme.sh write over their files, and whatever watches them must see it.
"""

from __future__ import annotations

import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailhost import pki
from runbook import lab

ROOT = Path(__file__).resolve().parents[2]
WITHIN = True  # servers are what this is about
LIVE = "/etc/letsencrypt/live/mail"
LEGO = "/var/lib/lego/certificates"

# as certbot says it in the environment of its hooks
CERTBOT = f"""\
set -e
folder=/etc/letsencrypt/archive/mail
mkdir -p $folder {LIVE} /etc/letsencrypt/renewal-hooks/deploy
chmod 0700 $folder {LIVE}
n=$(($(ls $folder | grep -c fullchain || :) + 1))
cat >/root/both
(umask 077; sed -n '/BEGIN.*PRIVATE/,/END.*PRIVATE/p' /root/both >$folder/privkey$n.pem)
sed -n '/BEGIN CERT/,/END CERT/p' /root/both >$folder/fullchain$n.pem
rm /root/both
for kind in privkey fullchain; do ln -sfn ../../archive/mail/$kind$n.pem {LIVE}/$kind.pem; done
for hook in /etc/letsencrypt/renewal-hooks/deploy/*; do
    [ -x "$hook" ] || continue
    RENEWED_LINEAGE={LIVE} RENEWED_DOMAINS=mail.example.test "$hook"
done
"""
OTHERS = f"""\
set -e
mkdir -p {LEGO}
cat >/root/both
(umask 077; sed -n '/BEGIN.*PRIVATE/,/END.*PRIVATE/p' /root/both >{LEGO}/mail.key)
sleep 1
sed -n '/BEGIN CERT/,/END CERT/p' /root/both >{LEGO}/mail.crt
rm /root/both
"""
CLIENTS = {
    "certbot": ("debian12", f"{LIVE}/fullchain.pem", f"{LIVE}/privkey.pem", CERTBOT),
    "lego": ("el", f"{LEGO}/mail.crt", f"{LEGO}/mail.key", OTHERS),
}


@dataclass
class Site:
    """A server that the runbook has not seen yet, on which an ACME client gets certificates."""

    client: str
    server: lab.Server
    product: Any
    looks: Any
    sheet: Path
    renewal: str

    def renew(self) -> str:
        """What the client does when it has a new certificate; its fingerprint."""
        issued = lab.issue([self.server.hostname])
        ran = self.server.run(self.renewal, stdin=issued.fullchain + issued.key)
        assert ran.rc == 0, ran
        return pki.fingerprint(pki.read_bag(issued.leaf.encode())[0])

    def served(self) -> str:
        pem = ssl.get_server_certificate((self.server.address, 993), timeout=10)
        return pki.fingerprint(pki.read_bag(pem.encode())[0])

    def served_within(self, seconds: int, wanted: str) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.served() == wanted:
                return True
            time.sleep(0.5)
        return False

    def apply(self) -> Any:
        return self.product.run(self.sheet, "--mode", "apply", "--json")

    def audit(self) -> dict[str, str]:
        told = self.product.run(self.sheet, "--section", "06_audit", "--json")
        bad = {
            f.id: f.message for _, f in self.product.last(self.server.name).findings if f.status in ("fail", "unknown")
        }
        assert (told.rc == 0) == (not bad), told.text
        return bad


@pytest.fixture(scope="module", params=CLIENTS)
def site(
    request: pytest.FixtureRequest, product: Any, busy_up: Callable[..., lab.Server], looks: Callable[..., Any]
) -> Iterator[Site]:
    system, certificate, key, renewal = CLIENTS[request.param]
    server = busy_up(system, variant="stock")
    tls = {
        "renewed_by": request.param, "certificate_path": certificate, "key_path": key, "trust": str(server.ca),
    }  # fmt: skip
    sheet = product.sheet(server, request.param, tls=tls)
    yield Site(request.param, server, product, looks(server), sheet, renewal)
    shutil.rmtree(ROOT / "records" / server.name, ignore_errors=True)


def test_before_the_client_has_a_certificate_it_is_a_no_go(site: Site):
    told = site.apply()
    assert (told.rc, told.json["verdict"], told.json["changes"]) == (1, "no-go", 0), told.text
    assert "certificate-given" in {f.id for _, f in site.product.last(site.server.name).findings if f.status == "fail"}


def test_its_files_are_served_where_they_lie(site: Site):
    first = site.renew()
    told = site.apply()
    assert (told.rc, told.json["verdict"]) == (0, "as-wanted"), told.text
    assert site.served() == first
    again = site.apply()
    assert (again.rc, again.json["changes"]) == (0, 0), again.text
    site.looks.no_leftovers()


def test_after_a_renewal_the_new_one_is_served_and_the_unit_was_not_restarted(site: Site):
    unit = site.looks.unit()
    assert site.served_within(20, site.renew())
    assert site.looks.unit() == unit
    assert site.audit() == {}


def test_a_hook_that_is_broken_is_found_and_mended(site: Site):
    breaks = {
        "certbot": "chmod -x /etc/letsencrypt/renewal-hooks/deploy/dovecot-runbook",
        "lego": "systemctl -q disable dovecot-certificate.path; systemctl stop dovecot-certificate.path",
    }
    site.looks.say(breaks[site.client])
    assert set(site.audit()) == {"renewal-hook"}
    new = site.renew()
    assert not site.served_within(5, new), "nobody told Dovecot"
    assert {"renewal-hook", "served-certificate"} <= set(site.audit())
    told = site.apply()
    assert (told.rc, told.json["verdict"]) == (0, "as-wanted"), told.text
    assert site.served() == new
    assert site.served_within(20, site.renew()), "the hook works again"
