"""Every sample from a server, and the rows that its parser makes of it. A new case is a pair of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailhost.parse import (
    addresses,
    clock,
    df,
    firewalld,
    labels,
    log,
    os_release,
    packages,
    pairs,
    passwd,
    rules,
    sockets,
    ufw,
    versions,
    who,
)

SAMPLES = Path(__file__).parents[2] / "samples"
SYSTEMS = ("debian12", "el-standin", "centos7-reconstructed", "made")


def _zones(text: str) -> dict[str, Any]:
    now, _, later = text.partition("@permanent\n")
    return {
        "runtime": {name: firewalld.states(zone) for name, zone in firewalld.zones(now).items()},
        "permanent": {name: firewalld.states(zone) for name, zone in firewalld.zones(later).items()},
        "opened": {name: firewalld.entries(zone) for name, zone in firewalld.zones(now).items()},
    }


def _listing(parser: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: parser(text.partition("\n")[2])  # the first line names the tool


PARSERS: dict[str, Callable[[str], Any]] = {
    "about": pairs.pairs,
    "addresses": addresses.addresses,
    "apt_policy": packages.apt_policy,
    "bans": pairs.pairs,
    "clock": clock.synchronised,
    "crypto_policy": pairs.pairs,
    "df": df.df,
    "dnf_list": packages.dnf_list,
    "dovecot": versions.upstream,
    "dpkg": packages.dpkg,
    "files": lambda text: log.files(text, since=1_767_312_000 if "2026-01" in text else 0),
    "firewall_tools": pairs.pairs,
    "journal": log.journal,
    "labels": labels.relabelled,
    "locks": packages.lock_holder,
    "log_where": pairs.pairs,
    "mta": pairs.pairs,
    "netstat": _listing(sockets.netstat),
    "os_release": os_release.os_release,
    "passwd": lambda text: passwd.users(text, maildir="Maildir")._asdict(),
    "ring": log.ring,
    "rpm": packages.rpm,
    "rules": rules.filters,
    "ss": _listing(sockets.ss),
    "ufw": lambda text: ufw.states(ufw.ufw(text)),
    "unit": pairs.pairs,
    "who": who.connected,
    "zones": _zones,
}
CASES = sorted(path for system in SYSTEMS for path in (SAMPLES / system).glob("*.txt"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_parser_makes_the_expected_rows(path: Path) -> None:
    expected = path.with_suffix(".rows.json")
    rows = PARSERS[path.stem.split("-")[0]](path.read_text())
    assert json.loads(json.dumps(rows)) == json.loads(expected.read_text())


def test_every_parser_has_a_sample() -> None:
    assert {path.stem.split("-")[0] for path in CASES} == set(PARSERS)


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_nothing_and_nonsense_are_no_rows_and_no_error(name: str) -> None:
    for text in ("", "\n", "sh: 1: not found\n", "\x00\xff:::\n = : \n"):
        PARSERS[name](text)
