"""Values in, changes out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mailhost import operations, pki, sheet
from mailhost.changes import (
    EnableUnit,
    Firewalld,
    IncludeLast,
    InstallPackages,
    ReloadUnit,
    RestartUnit,
    StartUnit,
    Ufw,
    UnmaskUnit,
    WatchFiles,
    WriteDropIn,
    WriteFile,
)
from mailhost.dovecot import dialect, dropin
from mailhost.dovecot.layout import Layout
from mailhost.dovecot.settings import Settings, wanted
from mailhost.errors import UnsupportedError
from mailhost.facts.certificate_files import CertificateFiles, File
from mailhost.facts.dovecot import Dovecot
from mailhost.facts.firewall import Firewall
from mailhost.facts.packages import Packages
from mailhost.facts.renewal_hook import RenewalHook
from mailhost.facts.service import Service
from mailhost.facts.system import System
from mailhost.families import DEBIAN, REDHAT
from mailhost.parse.ufw import states, ufw
from runbook import lab

WANT = sheet.from_mapping({"name": "mail", "mail_names": ["mail.example.test"]}, base=Path(), source="test")
V23 = dialect("2.3.19.1")
BARE = Dovecot()
STOCK = Dovecot(
    version="2.3.19.1",
    settings=Settings(ssl="yes", certificate_path="/etc/dovecot/private/dovecot.pem"),
    valid=True,
)
RUNNING = Service(
    unit="dovecot.service", load="loaded", active="active", sub="running", unit_file="enabled", started=100
)
DOWN = dataclasses.replace(RUNNING, active="inactive", sub="dead", started=None)
SYSTEM = System(ipv6=True)


def configure(found: Dovecot, service: Service = DOWN, system: System = SYSTEM) -> list[Any]:
    return operations.configure(found, service, system, WANT, DEBIAN, V23)


def text_of(changes: list[Any]) -> str:
    return next(change.after.decode() for change in changes if isinstance(change, WriteDropIn))


# ---- install


def test_a_bare_debian_gets_packages_that_do_not_start_and_an_enabled_unit():
    install, enable = operations.install(Packages(), Service(), WANT, DEBIAN)
    assert install == InstallPackages(DEBIAN, ("dovecot-core", "dovecot-imapd", "dovecot-pop3d"), "dovecot.service")
    assert enable == EnableUnit("dovecot.service", "")


def test_red_hat_needs_no_mask():
    install, _ = operations.install(Packages(), Service(), WANT, REDHAT)
    assert install == InstallPackages(REDHAT, ("dovecot",), "")


def test_a_missing_protocol_does_not_hold_up_the_dovecot_that_runs():
    have = Packages(installed={"dovecot-core": "1", "dovecot-imapd": "1"})
    assert operations.install(have, RUNNING, WANT, DEBIAN) == [InstallPackages(DEBIAN, ("dovecot-pop3d",), "")]


ALL = Packages(installed={"dovecot-core": "1", "dovecot-imapd": "1", "dovecot-pop3d": "1"})


def test_nothing_to_install_is_no_change():
    assert operations.install(ALL, RUNNING, WANT, DEBIAN) == []


def test_a_disabled_unit_is_enabled():
    disabled = dataclasses.replace(DOWN, unit_file="disabled")
    assert operations.install(ALL, disabled, WANT, DEBIAN) == [EnableUnit("dovecot.service", "disabled")]


@pytest.mark.parametrize(("unit_file", "runtime"), [("masked-runtime", True), ("masked", False)])
def test_a_mask_is_taken_off(unit_file: str, runtime: bool):  # noqa: FBT001
    masked = dataclasses.replace(DOWN, load="masked", unit_file=unit_file)
    assert operations.install(ALL, masked, WANT, DEBIAN) == [
        UnmaskUnit("dovecot.service", runtime=runtime),
        EnableUnit("dovecot.service", ""),
    ]


# ---- configure


def test_tls_is_off_for_now_where_none_is_served_and_logins_in_clear_are_refused():
    write, start = configure(STOCK)
    assert start == StartUnit("dovecot.service")
    assert dropin.split(write.after.decode()).tls == ("ssl = no", "disable_plaintext_auth = yes")


def test_a_server_that_serves_tls_is_not_downgraded():
    serving = dataclasses.replace(STOCK, running=True)
    write, restart = configure(serving, RUNNING)
    assert isinstance(restart, RestartUnit)
    assert dropin.split(write.after.decode()).tls == ()


def test_a_certificate_of_the_owners_is_kept_while_dovecot_is_down():
    owners = dataclasses.replace(STOCK, settings=Settings(ssl="required", certificate_path="/etc/ssl/own.pem"))
    assert "ssl" not in text_of(configure(owners))


def test_our_own_tls_is_kept_verbatim_even_when_doveconf_tells_nothing():
    tls = ("ssl = required", "ssl_cert = </x", "# a line of somebody's")
    text = dropin.render(dropin.Blocks(("protocols = imap",), tls), sheet="mail")
    found = Dovecot(version="2.3.19.1", drop_in=text, valid=False)
    assert dropin.split(text_of(configure(found))).tls == tls


def test_our_tls_in_another_dialect_is_said_anew_after_an_upgrade():
    tls = ("ssl = required", "ssl_cert = </x", "ssl_key = </y", "disable_plaintext_auth = yes")
    text = dropin.render(dropin.Blocks(("protocols = imap",), tls), sheet="mail")
    found = Dovecot(version="2.4.1", drop_in=text, valid=False)
    text = text_of(operations.configure(found, DOWN, SYSTEM, WANT, DEBIAN, dialect("2.4.1")))
    assert "ssl = required\nssl_server_cert_file = /etc/ssl/certs/" in text
    assert "disable_plaintext_auth" not in text


def test_listen_follows_ipv6():
    assert "listen = *, ::\n" in text_of(configure(STOCK))
    assert "listen = *\n" in text_of(configure(STOCK, system=System(ipv6=False)))


def as_configured(**changes: Any) -> Dovecot:
    text = text_of(configure(STOCK))
    return dataclasses.replace(
        STOCK, running=True, settings=Settings(ssl="no"), drop_in=text, drop_in_time=90, **changes
    )


def test_the_second_time_there_is_nothing_to_do():
    assert configure(as_configured(), RUNNING) == []


def test_what_is_down_is_started():
    assert configure(as_configured(), DOWN) == [StartUnit("dovecot.service")]


def test_a_run_that_died_before_the_restart_is_made_up_for():
    found = dataclasses.replace(as_configured(), drop_in_time=101)
    (restart,) = configure(found, RUNNING)
    assert isinstance(restart, RestartUnit)


OURS_LOSE = (Layout(included=False), Layout(later=(("protocols", 12),)))
MAIN = "/etc/dovecot/dovecot.conf"


@pytest.mark.parametrize("layout", OURS_LOSE)
def test_where_a_drop_in_would_lose_one_more_line_has_it_read_last(layout: Layout):
    found = dataclasses.replace(STOCK, layout=layout, files=((MAIN, "a" * 64),))
    write, include, start = configure(found)
    assert (type(write), type(start)) == (WriteDropIn, StartUnit)
    assert (include.path, include.before) == (MAIN, "a" * 64)
    assert include.end.endswith("\n!include_try conf.d/99-dovecot-runbook.conf\n")
    assert "+!include_try conf.d/99-dovecot-runbook.conf" in include.diff()
    assert include.why in include.diff()


def test_a_line_that_somebody_took_out_is_put_back_and_dovecot_restarted():
    found = as_configured(layout=OURS_LOSE[0], files=((MAIN, "a" * 64),))
    assert [type(change) for change in configure(found, RUNNING)] == [IncludeLast, RestartUnit]


def test_a_layout_that_heeds_the_drop_in_is_left_alone():
    for layout in (Layout(), Layout(later=(("base_dir", 12), ("service imap-login_ssl", 14)))):  # none of ours
        assert [type(c) for c in configure(dataclasses.replace(STOCK, layout=layout))] == [WriteDropIn, StartUnit]


def test_without_a_dovecot_conf_there_is_no_place_for_a_drop_in():
    with pytest.raises(UnsupportedError, match=r"no /etc/dovecot/dovecot\.conf"):
        configure(dataclasses.replace(STOCK, layout=Layout(included=False)))


# ---- secure


@pytest.fixture(scope="module")
def pair() -> pki.Pair:
    issued = lab.issue(["mail.example.test"])
    leaf, middle = pki.read_bag(issued.fullchain.encode())
    return pki.Pair(leaf, (middle,), issued.key.encode())


def secure(found: Dovecot, files: CertificateFiles, pair: pki.Pair, **more: Any) -> list[Any]:
    return operations.secure(found, RUNNING, files, pair, WANT, DEBIAN, V23, **more)


def installed(pair: pki.Pair, *, mode: str = "0600", owner: str = "root:root") -> CertificateFiles:
    return CertificateFiles(
        File("/c", pki.sha256(pair.fullchain_pem), "0644", "root:root"),
        File("/k", pki.sha256(pair.key_pem), mode, owner),
    )


def test_secure_installs_the_pair_before_the_settings_that_name_it(pair: pki.Pair):
    changes = secure(as_configured(), CertificateFiles(), pair)
    assert [c.title.split()[0] for c in changes] == ["write", "write", "replace", "restart"]
    certificate, key = changes[:2]
    assert (certificate.path, certificate.mode) == ("/etc/ssl/certs/mail.crt", "0644")
    assert (key.path, key.mode, key.secret) == ("/etc/ssl/private/mail.key", "0600", True)
    assert "ssl = required" in changes[2].diff()


def secured(pair: pki.Pair) -> Dovecot:
    text = text_of(secure(as_configured(), CertificateFiles(), pair))
    return dataclasses.replace(as_configured(), drop_in=text)


def test_secure_leaves_the_mail_block_as_it_is(pair: pki.Pair):
    before, after = dropin.split(as_configured().drop_in or ""), dropin.split(secured(pair).drop_in or "")
    assert after.mail == before.mail
    assert after.tls != before.tls


def test_secure_twice_is_nothing(pair: pki.Pair):
    assert secure(secured(pair), installed(pair), pair) == []
    assert secure(secured(pair), installed(pair, mode="0400"), pair) == []


def test_a_renewed_certificate_needs_a_reload_only(pair: pki.Pair):
    old = dataclasses.replace(installed(pair), certificate=File("/c", "0" * 64, "0644", "root:root"))
    write, reload = secure(secured(pair), old, pair)
    assert (type(write), type(reload)) == (WriteFile, ReloadUnit)


def test_a_reload_that_never_came_is_made_up_for(pair: pki.Pair):
    (reload,) = secure(secured(pair), installed(pair), pair, served=["0" * 64])
    assert isinstance(reload, ReloadUnit)
    assert secure(secured(pair), installed(pair), pair, served=[pair.fingerprint]) == []


@pytest.mark.parametrize("wrong", [{"mode": "0640"}, {"owner": "root:ssl-cert"}])
def test_a_key_that_others_can_read_is_protected_without_a_reload(pair: pki.Pair, wrong: dict[str, str]):
    (change,) = secure(secured(pair), installed(pair, **wrong), pair)
    assert change.title == "protect /etc/ssl/private/mail.key"


LIVE = "/etc/letsencrypt/live/mail"


def kept(client: str, folder: str = LIVE) -> sheet.Sheet:
    tls = {"renewed_by": client, "certificate_path": f"{folder}/fullchain.pem", "key_path": f"{folder}/privkey.pem"}
    values = {"name": "mail", "mail_names": ["mail.example.test"], "tls": tls}
    return sheet.from_mapping(values, base=Path(), source="test")


def hooked(changes: list[Any], **states: bool) -> RenewalHook:
    """What would be found after these changes."""
    files = [File(c.path, c.digest, c.mode, c.owner) for c in changes if isinstance(c, WriteFile)]
    return RenewalHook(tuple(files), **states)


def kept_secure(pair: pki.Pair, want: sheet.Sheet, hook: RenewalHook, served: str = "") -> list[Any]:
    settled = secured(pair)
    blocks = dropin.Blocks(dropin.split(settled.drop_in or "").mail, V23.tls(wanted(want, DEBIAN, ipv6=True)))
    text = dropin.render(blocks, sheet="mail")
    there = dataclasses.replace(settled, drop_in=text)
    mine = dataclasses.replace(pair, key_pem=None)
    return operations.secure(there, RUNNING, installed(pair), mine, want, DEBIAN, V23, hook=hook,
                             served=[served or pair.fingerprint])  # fmt: skip


def test_certbot_gets_a_program_in_its_folder_for_deploy_hooks_and_files_stay(pair: pki.Pair):
    (write,) = changes = kept_secure(pair, kept("certbot"), RenewalHook())
    assert (write.path, write.mode) == ("/etc/letsencrypt/renewal-hooks/deploy/dovecot-runbook", "0755")
    assert f"certificate={LIVE}/fullchain.pem\n" in write.after.decode()
    assert kept_secure(pair, kept("certbot"), hooked(changes)) == []


@pytest.mark.parametrize("client", ["lego", "acme.sh"])
def test_systemd_watches_for_a_client_whose_hooks_are_not_ours_to_edit(pair: pki.Pair, client: str):
    *files, watch = changes = kept_secure(pair, kept(client), RenewalHook())
    assert [file.path.rpartition("/")[2] for file in files] == [
        "dovecot-certificate-renewed", "dovecot-certificate.service", "dovecot-certificate.path",
    ]  # fmt: skip
    assert watch == WatchFiles("dovecot-certificate.path", enabled=False)
    assert kept_secure(pair, kept(client), hooked(changes, enabled=True, active=True)) == []
    # one that was stopped is started again; one that watches another file is told anew
    assert kept_secure(pair, kept(client), hooked(changes, enabled=True)) == [dataclasses.replace(watch, enabled=True)]
    moved = kept_secure(pair, kept(client, "/var/lib/lego"), hooked(changes, enabled=True, active=True))
    assert [type(change) for change in moved] == [WriteFile, WriteFile, WatchFiles]


def test_a_renewal_that_was_missed_is_made_up_for(pair: pki.Pair):
    hook = hooked(kept_secure(pair, kept("certbot"), RenewalHook()))
    assert [type(c) for c in kept_secure(pair, kept("certbot"), hook, served="0" * 64)] == [ReloadUnit]
    files = installed(pair)
    assert operations.renew(files, dataclasses.replace(pair, key_pem=None), kept("certbot"), DEBIAN) == []


# ---- firewall

OPEN = dict.fromkeys(("pop3", "imap", "pop3s", "imaps"), "open")
CLOSED = dict.fromkeys(("pop3", "imap", "pop3s", "imaps"), "closed")


def firewalld(runtime: Any, permanent: Any, **more: Any) -> list[Any]:
    found = Firewall("firewalld", True, True, "public", "public", runtime, permanent, **more)
    return operations.firewall(found, WANT)


def lines(changes: list[Any]) -> list[str]:
    return [line for change in changes for line in change.diff().splitlines()]


def test_what_is_closed_and_wanted_is_opened_now_and_for_good():
    assert lines(firewalld(CLOSED, CLOSED, known_services=("pop3s", "imaps"))) == [
        "+ service pop3s in zone public, running",
        "+ service imaps in zone public, running",
        "+ service pop3s in zone public, permanent",
        "+ service imaps in zone public, permanent",
    ]


def test_an_old_firewalld_gets_ports():
    assert lines(firewalld(CLOSED, CLOSED))[0] == "+ port 995/tcp in zone public, running"


def test_what_is_open_and_not_wanted_is_closed_entry_by_entry():
    opened = {"imap": ("imap", "143/tcp"), "pop3": ("100-200/tcp",)}
    found = firewalld(OPEN, OPEN | {"pop3": "closed", "imap": "closed"}, open_as=opened)
    assert lines(found) == ["- service imap in zone public, running", "- port 143/tcp in zone public, running"]


def test_a_firewall_as_wanted_or_not_ours_is_left_alone():
    wanted = WANT.firewall.wanted()
    assert firewalld(wanted, wanted) == []
    assert firewalld(dict.fromkeys(OPEN, "unknown"), wanted) == []
    assert operations.firewall(Firewall(runtime=OPEN, permanent=OPEN), WANT) == []
    assert operations.firewall(Firewall("firewalld", False, False, runtime=OPEN), WANT) == []
    manage = WANT.model_copy(update={"firewall": sheet.Firewall(manage=False)})
    assert operations.firewall(Firewall("firewalld", True, runtime=CLOSED, permanent=CLOSED), manage) == []


def test_ufw():
    found = Firewall(
        "ufw", True, True, runtime=OPEN | {"imaps": "closed"}, raw="x", open_as={"imap": ("143/tcp (v6)",)}
    )
    (change,) = operations.firewall(found, WANT)
    assert isinstance(change, Ufw)
    assert lines([change]) == ["- port 143/tcp", "+ port 993/tcp"]
    assert not isinstance(change, Firewalld)


def test_what_ufw_opens_with_a_limit_is_closed_by_that_word():
    told = ufw("""\
Status: active
Default: deny (incoming), allow (outgoing), disabled (routed)

To                         Action      From
--                         ------      ----
22/tcp                     LIMIT IN    Anywhere
143/tcp                    LIMIT IN    Anywhere
143/tcp (v6)               LIMIT IN    Anywhere (v6)
""")
    found = Firewall("ufw", True, True, runtime=states(told), raw="x", open_as=told.open_as)
    want = WANT.model_copy(update={"firewall": sheet.Firewall(imaps="closed", pop3s="closed")})
    (change,) = operations.firewall(found, want)
    assert lines([change]) == ["- limit 143/tcp"]
    assert [c.argv for c in change.commands()[1:]] == [("ufw", "--force", "delete", "limit", "143/tcp")]
    assert [c.argv for c in change.undo()] == [("ufw", "limit", "143/tcp")]
