"""What a deploy hook is made of, and what its program does when an ACME client runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mailhost import acme
from mailhost.sheet import Tls
from runbook import lab


def tls(client: str, folder: Path | str) -> Tls:
    return Tls(renewed_by=client, certificate_path=f"{folder}/fullchain.pem", key_path=f"{folder}/privkey.pem")


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """The folder of one certificate, as certbot keeps it."""
    folder = tmp_path / "live" / "mail"
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, *, key_of_another: bool = False) -> None:
    issued, other = lab.issue(["mail.example.test"]), lab.issue(["other.example.test"])
    (folder / "fullchain.pem").write_text(issued.fullchain)
    (folder / "privkey.pem").write_text((other if key_of_another else issued).key)


def ran(folder: Path, client: str = "certbot", can_reload: str = "yes", **environment: str) -> tuple[int, str, str]:
    """Run the hook's program; systemctl is a fake that tells what it was asked: no Dovecot runs here."""
    hook = acme.hook(tls(client, folder), "dovecot.service")
    assert hook is not None
    program = folder / "hook"
    program.write_text(hook.parts[0].text.replace("-ge 30 ]", "-ge 2 ]"))
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "systemctl").write_text(
        f'#!/bin/sh\necho "$*" >>{folder}/asked\n[ "$1" != show ] || echo CanReload={can_reload}\n'
    )
    (tools / "systemctl").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    done = subprocess.run(["sh", str(program)], env={"PATH": path, **environment}, capture_output=True, text=True,
                          check=False, timeout=60)  # fmt: skip
    asked = folder / "asked"
    return done.returncode, asked.read_text() if asked.exists() else "", done.stderr


def test_no_client_no_hook():
    assert acme.hook(None, "dovecot.service") is None


def test_certbot_finds_it_beside_the_folder_of_its_certificates():
    hook = acme.hook(tls("certbot", "/opt/le/live/mail"), "dovecot.service")
    assert hook is not None
    assert [part.path for part in hook.parts] == ["/opt/le/renewal-hooks/deploy/dovecot-runbook"]
    assert not hook.watch


@pytest.mark.parametrize("client", ["certbot", "lego"])
def test_a_renewed_pair_is_reloaded(live: Path, client: str):
    put(live)
    code, asked, told = ran(live, client, RENEWED_LINEAGE=str(live))
    assert code == 0, told
    assert asked.splitlines() == [
        "is-active -q dovecot.service", "show -p CanReload dovecot.service", "reload dovecot.service"
    ]  # fmt: skip


def test_where_the_unit_cannot_reload_dovecot_does_it_itself(live: Path):
    put(live)
    tools = live / "bin"
    tools.mkdir()
    (tools / "doveadm").write_text(f'#!/bin/sh\necho "doveadm $*" >>{live}/asked\n')
    (tools / "doveadm").chmod(0o755)
    code, asked, told = ran(live, can_reload="no")
    assert code == 0, told
    assert asked.splitlines()[-1] == "doveadm reload"


def test_another_certificate_of_certbot_is_none_of_dovecots_business(live: Path):
    put(live)
    assert ran(live, RENEWED_LINEAGE=str(live.parent / "www")) == (0, "", "")


def test_a_key_that_does_not_fit_is_not_reloaded_and_told(live: Path):
    put(live, key_of_another=True)
    code, asked, told = ran(live)
    assert (code, asked) == (1, "")
    assert f"{live}/privkey.pem does not belong to {live}/fullchain.pem" in told


def test_without_a_certificate_nothing_is_reloaded(live: Path):
    code, asked, _ = ran(live)
    assert (code, asked) == (1, "")
