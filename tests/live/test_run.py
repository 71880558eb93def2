"""The whole runbook on fresh servers of both kinds, judged afterwards by tools that are not ours."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runbook import lab

SECTIONS = ["01_preflight", "02_install", "03_configure", "04_test", "05_secure", "06_audit"]
PATHS = {"debian12": ("/etc/ssl/certs", "/etc/ssl/private"), "el": ("/etc/pki/tls/certs", "/etc/pki/tls/private")}
NOTE = "the first run; $(touch /tmp/pwned-by-note)"
REFUSED = 67  # curl's code for a login that is denied


@dataclass
class Story:
    """One server, and what was seen of it step by step."""

    server: lab.Server
    product: Any
    looks: Any
    bare: dict[str, str] = field(default_factory=dict)
    planned: dict[str, str] = field(default_factory=dict)
    applied: dict[str, str] = field(default_factory=dict)
    plan: Any = None
    apply: Any = None
    again: Any = None
    after: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        return Path(self.apply.json["record"])


@pytest.fixture(scope="module", params=["debian12", "el"])
def story(request: pytest.FixtureRequest, product: Any, lab_up: Any, busy_up: Any, looks: Any) -> Story:
    """Plan on the bare server, apply, apply again; the server is looked at in between."""
    # Debian's is taken as it is installed, with a process for each login
    server = (lab_up if request.param == "debian12" else busy_up)(request.param)
    told = Story(server, product, looks(server))
    told.bare = {name: getattr(told.looks, name)() for name in ("packages", "etc", "users", "firewall")}
    told.plan = product.run(server.name, "--json")
    told.planned = {name: getattr(told.looks, name)() for name in told.bare}
    told.apply = product.run(server.name, "--mode", "apply", "--json", "--ticket", "0012345", "--note", NOTE)
    assert told.apply.rc == 0, told.apply.text
    told.applied = told.looks.everything()
    if server.system == "debian12":  # the contract has it for every server
        told.again = product.run(server.name, "--mode", "apply", "--json")
        told.after = told.looks.everything()
    return told


def curl(story: Story, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    user = ["--user", "curlie:Curl-7-pass!"]
    return subprocess.run(
        ["curl", "-sS", "--max-time", "30", "--cacert", str(story.server.ca), *user, *words,
         "--connect-to", f"{story.server.hostname}::{story.server.address}:",
         url.replace("HOST", story.server.hostname)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def curlie(story: Story) -> Story:
    """An account of an owner's own, made past us, with one mail in its Maildir."""
    story.looks.say("useradd -m -s /bin/sh curlie && echo 'curlie:Curl-7-pass!' | chpasswd")
    story.looks.say(
        "su curlie -c 'umask 077; mkdir -p ~/Maildir/new ~/Maildir/cur ~/Maildir/tmp; "
        'printf "Subject: from outside\\n\\nhello curl\\n" >~/Maildir/new/1.1.x\''
    )
    return story


# ---- plan on the bare server


def test_a_plan_on_a_bare_server_is_pending_and_changes_nothing(story: Story):
    told = story.plan.json
    assert (story.plan.rc, told["verdict"], told["mode"]) == (2, "pending", "plan")
    assert [section["name"] for section in told["sections"]] == SECTIONS
    assert told["sections"][0]["verdict"] == "as-wanted"
    assert told["sections"][1]["verdict"] == "pending"
    assert told["findings"]["fail"] == told["findings"]["unknown"] == 0
    assert story.planned == story.bare


# ---- apply from nothing


def test_apply_from_nothing_is_as_wanted_and_json_is_as_promised(story: Story):
    told = story.apply.json
    assert story.apply.rc == 0
    assert set(told) == {
        "server", "record", "mode", "verdict", "changes", "findings", "sections", "round_trips", "connections",
        "seconds",
    }  # fmt: skip
    assert (told["server"], told["mode"], told["verdict"]) == (story.server.name, "apply", "as-wanted")
    assert set(told["findings"]) == {"pass", "fail", "skip", "unknown"}
    assert told["findings"]["fail"] == told["findings"]["unknown"] == 0
    assert told["findings"]["pass"] > 200
    assert [section["name"] for section in told["sections"]] == SECTIONS
    assert all(set(section) == {"name", "verdict", "changes", "seconds"} for section in told["sections"])
    assert {section["verdict"] for section in told["sections"]} == {"as-wanted"}
    assert told["changes"] == sum(section["changes"] for section in told["sections"]) > 0


def test_doveconf_says_so(story: Story):
    certs, private = PATHS[story.server.system]
    name = story.server.name
    told = story.looks.say("doveconf ssl disable_plaintext_auth ssl_min_protocol mail_location protocols listen")
    assert set(told.splitlines()) == {
        "ssl = required",
        "disable_plaintext_auth = yes",
        "ssl_min_protocol = TLSv1.2",
        "mail_location = maildir:~/Maildir",
        "protocols = imap pop3",
        "listen = *, ::",
    }
    assert story.looks.say("doveconf -h ssl_cert").strip() == f"<{certs}/{name}.crt"
    assert story.looks.say(f"stat -c '%a %U:%G' {private}/{name}.key").strip() == "600 root:root"


def test_ss_shows_all_four_ports_on_both_families(story: Story):
    listening = [row.split()[3].rsplit(":", 1) for row in story.looks.say("ss -Hltn").splitlines()]
    for port in ("110", "143", "993", "995"):
        assert {address for address, known in listening if known == port} == {"0.0.0.0", "[::]"}  # noqa: S104


@pytest.mark.parametrize("url", ["imaps://HOST/INBOX;MAILINDEX=1", "pop3s://HOST/1"])
def test_curl_reads_mail_over_tls(curlie: Story, url: str):
    done = curl(curlie, url)
    assert done.returncode == 0, done.stderr
    assert "hello curl" in done.stdout


@pytest.mark.parametrize("url", ["imap://HOST/INBOX;MAILINDEX=1", "pop3://HOST/1"])
def test_curl_reads_mail_by_starttls_and_is_refused_without(curlie: Story, url: str):
    done = curl(curlie, url, "--ssl-reqd")
    assert done.returncode == 0, done.stderr
    assert "hello curl" in done.stdout
    refused = curl(curlie, url)
    assert refused.returncode == REFUSED, refused
    assert refused.stdout == ""


@pytest.mark.parametrize("port", [110, 143, 993, 995])
def test_openssl_sees_the_certificate_of_the_sheet(story: Story, port: int):
    words = {110: ["-starttls", "pop3"], 143: ["-starttls", "imap"]}.get(port, [])
    for address in (story.server.address, f"[{story.server.address6}]"):
        seen = subprocess.run(
            ["openssl", "s_client", "-connect", f"{address}:{port}", *words, "-servername", story.server.hostname,
             "-verify_hostname", story.server.hostname, "-CAfile", str(story.server.ca), "-verify_return_error"],
            capture_output=True, text=True, check=False, input="", timeout=30,
        )  # fmt: skip
        assert seen.returncode == 0, seen.stderr
        assert fingerprint(seen.stdout) == fingerprint((story.server.folder / "tls" / "leaf.pem").read_text())


def fingerprint(pem: str) -> str:
    return subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=pem, capture_output=True, text=True, check=True
    ).stdout


def test_the_firewall_is_open_now_and_for_good(story: Story):
    for place in ("", "--permanent"):
        rules = story.looks.say(f"firewall-cmd {place} --list-services; firewall-cmd {place} --list-ports").split()
        assert {"ssh", "imap", "imaps", "pop3", "pop3s"} <= set(rules)


def test_nothing_temporary_is_left_and_the_unit_is_enabled(story: Story):
    story.looks.no_leftovers()
    assert story.looks.say("systemctl is-enabled dovecot; systemctl is-active dovecot") == "enabled\nactive\n"


# ---- apply again


@pytest.mark.parametrize("story", ["debian12"], indirect=True)
def test_a_second_apply_changes_nothing(story: Story):
    told = story.again.json
    assert (story.again.rc, told["verdict"], told["changes"]) == (0, "as-wanted", 0)
    assert told["round_trips"] <= 40
    assert told["connections"] == len(SECTIONS)
    for name, before in story.applied.items():
        assert story.after[name] == before, name


# ---- the record


def test_the_record_has_what_it_should(story: Story):
    record = story.record
    names = {file.name for file in record.iterdir()}
    assert {f"{section}.{kind}" for section in SECTIONS for kind in ("ipynb", "html")} <= names
    assert {"index.html", "transcript.jsonl", "findings.json", "sheet.json", "manifest.json"} <= names
    manifest = json.loads((record / "manifest.json").read_text())
    text = json.dumps(manifest)
    assert (manifest["ticket"], manifest["note"]) == ("0012345", NOTE)
    assert story.looks.say("ls /tmp/pwned* 2>/dev/null || :") == ""
    assert not Path("/tmp/pwned-by-note").exists()
    for expected in ("apply", story.server.address, story.server.name, "as-wanted"):
        assert expected in text, expected
    assert manifest["machine_id"] == story.looks.say("cat /etc/machine-id").strip()
    keys = story.looks.say("for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -E sha256 -f $f; done")
    assert manifest["host_key"].split()[1] in [line.split()[1] for line in keys.splitlines()]
    assert (manifest["dovecot_before"], manifest["dovecot_after"]) == ("not installed", "2.3.19.1")
    assert manifest["addresses"] == [story.server.address, story.server.address6]
    assert {"papermill", "fabric", "python"} <= set(manifest["runbook"]["versions"])
    assert re.fullmatch(r"[0-9a-f]{40}", manifest["runbook"]["commit"])
    assert manifest["who"]["user"]
    assert manifest["who"]["machine"]
    digests = {name: hashlib.sha256((record / name).read_bytes()).hexdigest() for name in manifest["files"]}
    assert manifest["files"] == digests
    assert set(manifest["files"]) >= names - {"manifest.json", "manifest.sha256", "sections"}


def test_the_transcript_is_numbered_without_a_gap_and_evidence_points_into_it(story: Story):
    lines = [json.loads(line) for line in (story.record / "transcript.jsonl").read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    assert list(dict.fromkeys(line["section"] for line in lines)) == SECTIONS
    sections = [json.loads(file.read_text()) for file in (story.record / "sections").glob("*.json")]
    findings = [found for section in sections for found in section["findings"]]
    numbers = {line["n"] for line in lines}
    # What is judged without the server (its certificate's files, the resolver) has no entry.
    for found in findings:
        assert set(found["evidence"]) <= numbers, found
        local = found["id"].startswith(("certificate-", "key-", "chain-")) or found["status"] == "skip"
        assert found["evidence"] or local, found


def test_no_secret_is_in_the_record(story: Story, holds_no_secret: Callable[..., None]):
    holds_no_secret(story.record, story.server)
    lines = (story.record / "transcript.jsonl").read_text()
    assert "rbk-" in lines
    assert "***" in lines
    # a one-time password is 32 characters of base64 after the account's name
    assert re.findall(r"rbk-[0-9a-f]{8}[:\\0 \"]+[A-Za-z0-9_-]{32}(?![A-Za-z0-9_-])", lines) == []
    assert re.findall(r"\$(?:y|6|5)\$[./A-Za-z0-9$]{20,}", lines) == [], "a hash out of shadow"


def test_the_html_is_whole_without_a_network(story: Story):
    for file in [story.record / "index.html", *story.record.glob("0*.html")]:
        text = file.read_text()
        addresses = re.findall(r"(?:src|href|action|data)\s*=\s*[\"']?\s*(?:https?:)?//[^\"'> ]+", text)
        assert addresses == [], file.name
        assert re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", text) == [], file.name
    index = (story.record / "index.html").read_text()
    assert index.index("as-wanted") < index.index("01_preflight") or "as-wanted" in index[: len(index) // 4]


def test_verify_accepts_it_and_only_as_it_is(story: Story):
    digest = story.product.last(story.server.name).digest
    assert digest
    assert story.product.command("verify", str(story.record)).rc == 0
    sealed = story.record / "manifest.sha256"
    own = sealed.read_text().split()[0]
    assert story.product.command("verify", str(story.record), "--digest", own).rc == 0
    assert story.product.command("verify", str(story.record), "--digest", "0" * 64).rc == 1


# ---- the server restarts


def test_a_canary_logs_in_for_real_and_leaves_no_account(story: Story):
    told = story.product.audit(story.server.name, "--canary", "--json")
    assert told.rc == 0, told.text
    found = [f for _, f in story.product.last(story.server.name).findings]
    assert {f.status for f in found if f.id == "login-accepted"} == {"pass"}
    assert {f.status for f in found if f.id == "cleartext-refused"} == {"pass"}
    story.looks.no_leftovers()


def test_after_a_restart_the_audit_is_as_wanted(story: Story):
    lab.restart(story.server)
    told = story.product.audit(story.server.name, "--json")
    assert (told.rc, told.json["verdict"]) == (0, "as-wanted"), told.text
    assert [section["name"] for section in told.json["sections"]] == ["06_audit"]
    assert "no test account" in json.dumps([f.message for _, f in story.product.last(story.server.name).findings])
