"""Hostile values in a sheet, per dialect, with the real Dovecot as judge: refused by us, or read back as they were."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailhost import host, sheet
from mailhost.dovecot import dialect, dropin
from mailhost.dovecot.settings import wanted
from mailhost.errors import SheetError, UnsupportedError
from mailhost.facts import dovecot as fact
from mailhost.families import DEBIAN
from runbook import lab

SYSTEMS = {"debian11": "2.3", "debian12": "2.3", "debian13": "2.4"}
DROP_IN = f"/etc/dovecot/conf.d/{dropin.NAME}"

# What breaks out of a value in some version: of a line, a comment, a quote, a section, a file to be read, a variable.
BREAKERS = ("\n", "\r", "\0", "{", "}", "<", ">", "#", '"', "'", "\\", "%", "$", " ", "\t", ";", "`", ":", "/../", "*")
# What people do use.
FRIENDLY = (
    "Mail",
    "Maildir.new",
    "mail-dir",
    "mail_dir",
    "Mail/dir",
    "Postfächer",
    "a=b",
    "a,b",
    "a!b",
    "a@b",
    "a+b",
    "~",
)


def values(key: str, word: str) -> dict[str, Any]:
    base = {"name": "mail", "mail_names": ["mail.example.test"]}
    match key:
        case "maildir":
            return base | {"maildir": f"~/x{word}y"}
        case "base_dir":
            return base | {"base_dir": f"/run/x{word}y"}
        case "listen":
            return base | {"listen": ["*", f"::%lo{word}y"]}
        case "certificate_path" | "key_path":
            paths = {"certificate_path": "/etc/x", "key_path": "/etc/y", key: f"/etc/x{word}y"}
            return base | {"tls": {"renewed_by": "lego", **paths}}
    return base


KEYS = ("maildir", "base_dir", "listen", "certificate_path", "key_path")


def texts(version: str) -> dict[tuple[str, str], tuple[sheet.Sheet, str]]:
    """Every value that passes our own judgement, with the drop-in that comes of it."""
    speaks = dialect(version)
    found = {}
    for key in KEYS:
        for word in (*BREAKERS, *FRIENDLY):
            try:
                want = sheet.from_mapping(values(key, word), base=Path(), source="test")
                parts = dropin.blocks(speaks, wanted(want, DEBIAN, ipv6=True))
            except (SheetError, UnsupportedError):
                continue
            # before any certificate is there: its block is judged by the golden files
            found[key, word] = (want, dropin.render(dropin.Blocks(parts.mail), sheet=want.name))
    return found


@pytest.fixture(scope="module", params=SYSTEMS)
def judge(request: pytest.FixtureRequest, lab_up: Callable[..., lab.Server]) -> tuple[str, lab.Server]:
    """A Dovecot of that system as its package leaves it, stopped."""
    server = lab_up(request.param)
    ran = server.run(
        "systemctl mask dovecot >/dev/null 2>&1; "
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y install dovecot-core dovecot-imapd dovecot-pop3d >/dev/null"
    )
    assert ran.rc == 0, ran
    return SYSTEMS[request.param], server


def told(server: lab.Server, commands: dict[str, host.Command], drop_in: str) -> fact.Dovecot:
    """What our own fact makes of the server with this drop-in, asked past SSH."""
    ran = server.run(f"base64 -d >{DROP_IN}", stdin=base64.b64encode(drop_in.encode()).decode())
    assert ran.rc == 0, ran
    rc, out, err = server.run(["sh"], stdin=host._script(commands, "mark", stop=False))
    assert rc == 0, err
    outs, errs = host._split(out, "mark"), host._split(err, "mark")
    results = {
        name: host.Result(command, outs[n][1], outs[n][0], errs[n][0])
        for n, (name, command) in enumerate(commands.items())
    }
    return fact.query.read(results)


def test_what_we_let_through_dovecot_reads_back_as_it_was(judge: tuple[str, lab.Server]):
    version, server = judge
    want = sheet.from_mapping(values("", ""), base=Path(), source="test")
    commands = dict(fact.query.commands(want, DEBIAN))
    wrong = {}
    for (key, word), (each, text) in texts(version).items():
        if key in ("certificate_path", "key_path"):
            continue  # they stand in the other block
        found = told(server, commands, text)
        target = wanted(each, DEBIAN, ipv6=True)
        if not found.valid or (found.settings.maildir, found.settings.base_dir or None) != (
            target.maildir,
            target.base_dir or found.settings.base_dir,
        ):
            wrong[key, word] = (found.error, found.settings)
    assert wrong == {}


@pytest.mark.parametrize("version", ["2.2.10", "2.3.19.1", "2.4.1"])
def test_what_breaks_out_of_a_value_never_gets_to_dovecot(version: str):
    through = {word for key, word in texts(version) if word in BREAKERS}
    # a ':' is part of a path for 2.4, and of base_dir and the certificate's path in all of them
    assert through <= {":"}
    assert {key for key, _ in texts(version)} == {"maildir", "base_dir", "certificate_path", "key_path"}
    assert ("maildir", ":") not in texts(version) or version.startswith("2.4")


def test_a_wish_that_a_dialect_cannot_say_names_setting_and_version():
    want = sheet.from_mapping(values("maildir", ":"), base=Path(), source="test")
    with pytest.raises(UnsupportedError, match=r"mail_location of Dovecot 2\.3"):
        dropin.blocks(dialect("2.3.13"), wanted(want, DEBIAN, ipv6=True))


def test_the_judge_knows_a_value_that_breaks_out(judge: tuple[str, lab.Server]):
    """What would happen without our refusal: the reading back tells. (A brace inside a value is harmless in all.)"""
    version, server = judge
    want = sheet.from_mapping(values("", ""), base=Path(), source="test")
    commands = dict(fact.query.commands(want, DEBIAN))
    parts = dropin.blocks(dialect(version), wanted(want, DEBIAN, ipv6=True))
    plain = dropin.render(dropin.Blocks(parts.mail), sheet="mail")
    for word in ("\n!include /etc/passwd", " #"):
        found = told(server, commands, plain.replace("~/Maildir", f"~/Mail{word}dir"))
        assert not found.valid or found.settings.maildir != f"~/Mail{word}dir"
