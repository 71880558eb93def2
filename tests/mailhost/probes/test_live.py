"""Each finding over what a client sees, on a real Dovecot that is broken in exactly that way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailhost.checks import dialogue as checks
from mailhost.checks import reach as reach_checks
from mailhost.checks import tls as tls_checks
from mailhost.finding import Finding
from mailhost.host import connect
from mailhost.policy import shipped
from mailhost.probes import imap, pop3, tls
from mailhost.probes.certificate import fingerprints
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.exchange import exchange
from mailhost.probes.keep import keep
from mailhost.probes.parallel import parallel
from mailhost.probes.reach import reach
from mailhost.probes.target import Target, targets
from mailhost.probes.wire import Trust
from mailhost.sheet import Sheet, from_mapping, load
from mailhost.transcript import Transcript

SPEAKERS: dict[str, Any] = {"pop3": pop3, "imap": imap}
NAME, PASSWORD = "anna", "Apfel-7!$x"  # the sheet's characters and a shell's
HOST = "mail.example.test"
GOOD = "ssl = required\nauth_failure_delay = 1 s\n"


@dataclass
class Mail:
    """A Debian 12 server with Dovecot set up by hand, one account, and a certificate of the tests' authority."""

    server: Any
    authority: Any
    folder: Path
    issued: Any

    @property
    def addresses(self) -> list[str]:
        return [self.server.address, self.server.address6]

    @property
    def targets(self) -> tuple[Target, ...]:
        return targets(HOST, self.addresses)

    def some(self, *services: str) -> tuple[Target, ...]:
        return targets(HOST, self.addresses[:1], services)

    @property
    def trust(self) -> Trust:
        return Trust(str(self.folder / "root.pem"))

    @property
    def intended(self) -> tuple[str, ...]:
        return fingerprints(self.issued.fullchain.encode())

    def want(self, **overrides: Any) -> Sheet:
        opening = dict.fromkeys(("pop3", "imap", "pop3s", "imaps"), "open")
        certificate = {"certificate": "leaf.pem", "key": "file:key.pem"}
        values = {"name": "mail", "mail_names": [HOST], "firewall": opening, "tls": certificate} | overrides
        return from_mapping(values, base=self.folder, source="a test")

    def sh(self, script: str, stdin: str | None = None) -> str:
        done = self.server.run(script, stdin=stdin)
        assert done.rc == 0, done
        return str(done.out)

    def serve(self, conf: str = GOOD, *, chain: str | None = None, key: str | None = None) -> None:
        """Configure Dovecot so, with the good certificate unless another is given, and restart it."""
        self.sh("umask 022; cat >/etc/ssl/mail.pem", chain or self.issued.fullchain)
        self.sh("umask 077; cat >/etc/ssl/mail.key", key or self.issued.key)
        own = f"mail_location = maildir:~/Maildir\nssl_cert = </etc/ssl/mail.pem\nssl_key = </etc/ssl/mail.key\n{conf}"
        self.sh("cat >/etc/dovecot/conf.d/99-test.conf", own)
        self.sh("systemctl reset-failed dovecot; systemctl restart dovecot")

    def logins(self, wanted: tuple[Target, ...] | None = None) -> list[Dialogue]:
        chosen = self.targets if wanted is None else wanted
        return parallel([(SPEAKERS[t.protocol].login, (t, NAME, PASSWORD, self.trust)) for t in chosen])

    def greets(self, *services: str) -> list[Dialogue]:
        return [SPEAKERS[t.protocol].greet(t) for t in self.some(*services)]

    def wrong(self, *services: str) -> list[Dialogue]:
        return [
            SPEAKERS[t.protocol].login(t, NAME, "wrong-4567", self.trust, story="wrong") for t in self.some(*services)
        ]

    def refuses(self) -> list[Dialogue]:
        clear = [t for t in self.targets if not t.implicit_tls]
        return parallel([(SPEAKERS[t.protocol].refuse, (t, NAME, "wrong-0123")) for t in clear])


@pytest.fixture(scope="module")
def mail(lab_up: Callable[..., Any], authority: Any, tmp_path_factory: pytest.TempPathFactory) -> Mail:
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue(HOST)
    (folder / "root.pem").write_text(issued.root + issued.intermediate)  # the intermediate must not count
    (folder / "leaf.pem").write_text(issued.leaf)
    (folder / "key.pem").write_text(issued.key)
    made = Mail(lab_up("debian12"), authority, folder, issued)
    made.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y -q dovecot-imapd dovecot-pop3d >/dev/null 2>&1")
    made.sh(f"useradd -m {NAME} && chpasswd", f"{NAME}:{PASSWORD}\n")
    made.sh("for p in 110 143 993 995; do firewall-cmd -q --add-port=$p/tcp; done")
    return made


@pytest.fixture
def good(mail: Mail) -> Mail:
    mail.serve()
    return mail


def statuses(findings: list[Finding]) -> set[str]:
    return {finding.status for finding in findings}


def failing(findings: list[Finding], check: str) -> list[Finding]:
    """The failing findings, which all are of this id and say what to do."""
    failed = [f for f in findings if f.status == "fail"]
    assert failed
    assert {f.id for f in failed} == {check}
    assert all(f.message and f.remedy for f in failed)
    return failed


def test_a_good_server_passes_everything(good: Mail, tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "transcript.jsonl")
    logins = keep(transcript, good.logins())
    greets = keep(transcript, [SPEAKERS[t.protocol].greet(t) for t in good.targets])
    seen = keep(transcript, tls.look(good.targets, good.trust.roots))
    ports = keep(transcript, reach(good.targets))
    pairs = [(a, b) for a in good.some("imap", "imaps") for b in good.some("pop3", "pop3s")]
    exchanges = [exchange(a, b, NAME, PASSWORD, good.trust) for a, b in (pairs[0], pairs[3])]
    wrong = good.wrong("pop3s", "imap")
    refusals = keep(transcript, good.refuses())
    findings = [
        *reach_checks.reach(ports, good.want()),
        *checks.greeting(greets),
        *checks.capabilities_cleartext(greets),
        *checks.login_accepted(logins),
        *checks.wrong_password_refused(wrong, logins),
        *checks.cleartext_refused(refusals, logins),
        *[f for e in exchanges for f in checks.mail_stored_and_read(e.dialogues)],
        *tls_checks.served(seen, good.want(), good.intended, now=datetime.now(UTC)),
    ]
    assert [f for f in findings if f.status != "pass"] == []
    assert len(findings) == 8 + 8 + 4 + 8 + 2 + 4 + 4 + 8 * 8
    assert all(s.verified and len(s.chain) == 2 for s in seen)
    assert all(f.evidence for f in findings if f.id in ("cleartext-refused", "login-accepted", "served-chain"))
    assert all(e.imap.removed for e in exchanges)
    assert good.sh(f"find /home/{NAME}/Maildir/new /home/{NAME}/Maildir/cur -type f") == ""
    kept = (tmp_path / "transcript.jsonl").read_text()
    assert "AUTH PLAIN ***" in kept
    assert PASSWORD not in kept
    assert "wrong-0123" not in kept
    assert "-----BEGIN CERTIFICATE-----" in kept


def test_port_open(good: Mail) -> None:
    good.sh("firewall-cmd -q --remove-port=995/tcp")
    try:
        seen = reach(good.targets, timeout=3)
        failed = failing(reach_checks.reach(seen, good.want()), "port-open")
        assert {f.subject for f in failed} == {str(t) for t in good.targets if t.port == 995}
        closed = good.want(firewall={"pop3": "open", "imap": "open", "imaps": "open", "pop3s": "closed"})
        assert statuses(reach_checks.reach(seen, closed)) == {"pass"}
    finally:
        good.sh("firewall-cmd -q --add-port=995/tcp")


def test_port_closed(good: Mail) -> None:
    seen = reach(good.targets)
    sheet = good.want(firewall={"pop3": "closed", "imap": "open"})
    failed = failing(reach_checks.reach(seen, sheet), "port-closed")
    assert {f.subject for f in failed} == {str(t) for t in good.targets if t.port == 110}
    # A protocol that the sheet does not serve has no business being reachable.
    failed = failing(reach_checks.reach(seen, good.want(protocols=["imap"])), "port-closed")
    assert {f.subject for f in failed} == {str(t) for t in good.targets if t.protocol == "pop3"}


def test_greeting(mail: Mail) -> None:
    mail.serve(
        GOOD + "service pop3-login {\n inet_listener pop3 {\n  port = 0\n }\n}\n"
        "service imap-login {\n inet_listener odd {\n  port = 110\n }\n}\n"
    )
    failing(checks.greeting(mail.greets("pop3")), "greeting")
    assert statuses(checks.greeting(mail.greets("imap", "imaps", "pop3s"))) == {"pass"}


def test_cleartext_allowed(mail: Mail) -> None:
    mail.serve("ssl = yes\ndisable_plaintext_auth = no\nauth_failure_delay = 1 s\n")
    failed = failing(checks.capabilities_cleartext(mail.greets("pop3", "imap")), "capabilities-cleartext")
    assert {"USER is offered", "LOGINDISABLED is missing"} <= {
        fault for f in failed for fault in ("USER is offered", "LOGINDISABLED is missing") if fault in f.message
    }
    refusals, logins = mail.refuses(), mail.logins(mail.some("imaps"))
    failed = failing(checks.cleartext_refused(refusals, logins), "cleartext-refused")
    assert len(failed) == 4
    assert any("AUTHENTICATIONFAILED" in f.actual for f in failed)


def test_no_tls_offered(mail: Mail) -> None:
    mail.serve("ssl = no\n")
    seen = mail.greets("pop3", "imap")
    failing(checks.capabilities_cleartext(seen), "capabilities-cleartext")
    assert statuses(checks.capabilities_cleartext(seen, tls_served=False)) == {"pass"}
    failed = failing(tls_checks.handshake(tls.look(mail.targets)), "tls-handshake")
    assert len(failed) == 8


def test_a_refusal_without_positive_control_is_unknown(good: Mail) -> None:
    refusals = good.refuses()
    assert statuses(checks.cleartext_refused(refusals, [])) == {"unknown"}
    good.sh(f"usermod -e 2020-01-01 {NAME}")
    try:
        logins = good.logins(good.some("imaps", "pop3s"))
    finally:
        good.sh(f"usermod -e '' {NAME}")
    assert len(failing(checks.login_accepted(logins), "login-accepted")) == 2
    assert statuses(checks.cleartext_refused(refusals, logins)) == {"unknown"}


def test_logged_in_and_no_mailbox(good: Mail) -> None:
    good.sh(f"rm -rf /home/{NAME}/Maildir; chown root:root /home/{NAME}; chmod 0755 /home/{NAME}")
    try:
        logins = good.logins(good.some("pop3s", "imaps"))
        failed = failing(checks.login_accepted(logins), "login-accepted")
        assert len(failed) == 2
        assert any("Logged in" in f.message for f in failed)
    finally:
        good.sh(f"chown {NAME}:{NAME} /home/{NAME}")
    assert not any(login.accepted for login in logins)


def test_mail_that_pop3_does_not_see(mail: Mail) -> None:
    mail.serve(GOOD + "protocol pop3 {\n mail_location = maildir:~/Other\n}\n")
    a, b = mail.some("imaps", "pop3s")[1], mail.some("imaps", "pop3s")[0]
    result = exchange(a, b, NAME, PASSWORD, mail.trust)
    failed = failing(checks.mail_stored_and_read(result.dialogues), "mail-stored-and-read")
    assert [f.subject for f in failed] == [str(b)]
    assert result.imap.removed


def test_a_wrong_password_that_is_accepted(mail: Mail) -> None:
    mail.serve(GOOD + "passdb {\n driver = static\n args = nopassword=y\n}\n")
    seen = mail.wrong("pop3s", "imaps")
    assert len(failing(checks.wrong_password_refused(seen, []), "wrong-password-refused")) == 2


def test_the_key_of_another_certificate(mail: Mail) -> None:
    mail.serve(key=mail.authority.issue("other.example.test").key)
    seen = tls.look(mail.targets, mail.trust.roots)
    assert len(failing(tls_checks.handshake(seen), "tls-handshake")) == 8
    others = tls_checks.served(seen, mail.want(), mail.intended, now=datetime.now(UTC))
    assert statuses([f for f in others if f.id != "tls-handshake"]) == {"unknown"}
    # Nothing is claimed about logins where no TLS comes about.
    assert statuses(checks.login_accepted(mail.logins(mail.some("pop3", "imaps")))) == {"unknown"}


def test_an_old_version(mail: Mail) -> None:
    mail.serve(GOOD)
    mail.sh(
        "cp /etc/ssl/openssl.cnf /root/openssl.cnf && "
        "printf '[openssl_init]\\nssl_conf = t\\n[t]\\nsystem_default = u\\n[u]\\nMaxProtocol = TLSv1.2\\n' "
        ">>/etc/ssl/openssl.cnf && systemctl restart dovecot"
    )
    try:
        seen = tls.look(mail.targets, mail.trust.roots)
    finally:
        mail.sh("cp /root/openssl.cnf /etc/ssl/openssl.cnf")
    assert {s.protocol for s in seen} == {"TLSv1.2"}
    assert statuses(tls_checks.version(seen, mail.want())) == {"pass"}
    strict = mail.want(tls={"certificate": "leaf.pem", "key": "file:key.pem", "minimum": "TLSv1.3"})
    assert len(failing(tls_checks.version(seen, strict), "tls-version")) == 8


def test_another_certificate_on_the_pop3_ports(mail: Mail) -> None:
    other = mail.authority.issue(HOST)
    mail.sh("cat >/etc/ssl/other.pem", other.fullchain)
    mail.sh("umask 077; cat >/etc/ssl/other.key", other.key)
    mail.serve(GOOD + "protocol pop3 {\n ssl_cert = </etc/ssl/other.pem\n ssl_key = </etc/ssl/other.key\n}\n")
    seen = tls.look(mail.targets, mail.trust.roots)
    findings = tls_checks.served(seen, mail.want(), mail.intended, now=datetime.now(UTC))
    failed = failing(findings, "served-certificate")
    assert {f.subject for f in failed} == {str(t) for t in mail.targets if t.protocol == "pop3"}


def test_leaf_only(mail: Mail) -> None:
    mail.serve(chain=mail.issued.leaf)
    seen = tls.look(mail.targets, mail.trust.roots)
    failed = failing(tls_checks.chain(seen, mail.intended), "served-chain")
    assert len(failed) == 8
    assert "leaf only" in failed[0].message
    failed = failing(tls_checks.verified(seen), "served-verified")
    assert len(failed) == 8
    assert "tls.chain" in failed[0].remedy


def test_root_included(mail: Mail) -> None:
    mail.serve(chain=mail.issued.fullchain + mail.issued.root)
    seen = tls.look(mail.some("imaps"), mail.trust.roots)
    (failed,) = failing(tls_checks.served(seen, mail.want(), mail.intended, now=datetime.now(UTC)), "served-chain")
    assert failed.severity == "low"


def test_wrong_name(mail: Mail) -> None:
    other = mail.authority.issue("other.example.test")
    mail.serve(chain=other.fullchain, key=other.key)
    seen = tls.look(mail.some("imaps", "pop3"), mail.trust.roots)
    assert len(failing(tls_checks.names(seen, mail.want()), "served-names")) == 2
    failed = failing(tls_checks.verified(seen), "served-verified")
    assert "mail_names" in failed[0].remedy
    assert statuses(tls_checks.chain(seen, mail.intended)) == {"pass"}


@pytest.mark.parametrize(("days", "severity"), [(-1, "critical"), (5, "medium")])
def test_dates(mail: Mail, days: int, severity: str) -> None:
    other = mail.authority.issue(HOST, days=days + 0.5)
    mail.serve(chain=other.fullchain, key=other.key)
    seen = tls.look(mail.some("imaps"), mail.trust.roots)
    (failed,) = failing(tls_checks.dates(seen, shipped(), now=datetime.now(UTC)), "served-dates")
    assert failed.severity == severity
    assert statuses(tls_checks.verified(seen)) == ({"fail"} if days < 0 else {"pass"})


def test_stock_certificate_of_the_package(mail: Mail) -> None:
    stock = mail.authority.issue(HOST, self_signed=True)
    mail.serve(chain=stock.leaf, key=stock.key)
    started = time.monotonic()
    seen = tls.look(mail.targets, mail.trust.roots)
    assert time.monotonic() - started < 5
    assert all(s.verified is False for s in seen)
    assert len(failing(tls_checks.certificate(seen, mail.intended), "served-certificate")) == 8
    # No password goes to a server that cannot prove who it is.
    logins = mail.logins(mail.some("imaps"))
    assert logins[0].broke == "tls"
    assert statuses(checks.login_accepted(logins)) == {"unknown"}


def test_the_loopback_through_ssh(mail: Mail) -> None:
    mail.serve("ssl = no\n")
    sheet = load(mail.server.sheet, base=mail.server.folder)
    host = connect(sheet, Transcript())
    try:
        with host.forward(110) as pop3_via, host.forward(143) as imap_via:
            a = Target("imap", "127.0.0.1", 143, HOST, via=imap_via, origin="loopback")
            b = Target("pop3", "127.0.0.1", 110, HOST, via=pop3_via, origin="loopback")
            logins = [SPEAKERS[t.protocol].login(t, NAME, PASSWORD, mail.trust, clear=True) for t in (a, b)]
            result = exchange(a, b, NAME, PASSWORD, mail.trust, clear=True)
            ports = reach([a, b])
            refusal = imap.refuse(a, NAME, "wrong-0123")
    finally:
        host.close()
    assert statuses(checks.login_accepted(logins)) == {"pass"}
    assert statuses(checks.mail_stored_and_read(result.dialogues)) == {"pass"}
    assert [p.state for p in ports] == ["open", "open"]
    # What is seen from there says nothing about the outside, neither good nor bad.
    assert statuses(reach_checks.reach(ports, mail.want())) == {"unknown"}
    assert statuses(checks.cleartext_refused([refusal], logins)) == {"unknown"}
