"""A Dovecot that was there before us: what its owner, or somebody's guide, has set up, and what comes of it."""

from __future__ import annotations

import fnmatch

from mailhost.checks.dovecot import is_later, settings_effective
from mailhost.checks.outcome import judged, skipped
from mailhost.dovecot import dialect, dropin
from mailhost.dovecot import expressible as can_say
from mailhost.dovecot.settings import wanted
from mailhost.errors import UnsupportedError
from mailhost.facts.dovecot import CONFIG, Dovecot, Line
from mailhost.facts.packages import Packages
from mailhost.facts.system import System
from mailhost.families import Family
from mailhost.finding import Finding
from mailhost.parse import doveconf
from mailhost.sheet import Sheet

_CLIENT_CA = ("ssl_ca", "ssl_server_ca_file")
_ASKS_CLIENTS = ("ssl_verify_client_cert", "ssl_server_request_client_cert")
_UNDERSTOOD = (("2.2", "2.3"),)  # old names that the next version takes, with a warning
_SENDS_CA = "2.2"  # the last version that sends certificates of ssl_ca to clients


def existing(found: Dovecot, system: System, want: Sheet, family: Family, *, audit: bool = False) -> list[Finding]:
    """What a Dovecot that was there already makes of the sheet; in an ``audit`` nothing is still to come."""
    if found.version is None:
        return []
    # an audit judges each setting by itself, and names the file that overrides ours
    later = [] if audit else overridden_later(found, system, want, family)
    return [
        *later,
        configuration_path(found),
        guide_chain_in_ssl_ca(found, audit=audit),
        guide_auth_file_path(found, audit=audit),
        other_instance(found),
    ]


def overridden_later(found: Dovecot, system: System, want: Sheet, family: Family) -> list[Finding]:
    """``overridden-later``: no file that is read after ours sets what the sheet sets to something else."""
    title = "no later file overrides our drop-in"
    try:
        names = dialect(found.version or "").NAMES
    except UnsupportedError as error:
        return [skipped("overridden-later", title, error.what, fact=found)]
    spelled = {name for own in names.values() for name in own}
    loses = found.layout.loses(spelled)
    if loses:
        return [
            Finding(
                "overridden-later",
                title,
                "skip",
                "high",
                expected="nothing, or what the sheet says",
                actual=loses,
                message=f"pending 03_configure: {CONFIG}/dovecot.conf would not heed a drop-in, since {loses}. One "
                "more line at its end will read ours last of all; every other line of it stays.",
                remedy=f"nothing to do; or add the line `!include_try conf.d/{dropin.NAME}` there yourself.",
                evidence=found.evidence,
            )
        ]
    later = [line for line in found.lines if line.name in spelled and is_later(found, line)]
    # what the last file says is in force already, with our drop-in or without it
    wrong = {each.subject for each in settings_effective(found, system, want, family) if each.status != "pass"}
    bad = [
        line
        for line in later
        if any(line.name in own and own[0] in wrong for own in names.values())
        and (found.drop_in is None or line.path != found.drop_in_path)
    ]
    where = "; ".join(f"{line.path} line {line.number} ({line.text})" for line in bad)
    return [
        judged(
            not bad,
            "overridden-later",
            title,
            found,
            expected="nothing, or what the sheet says",
            actual=where or (f"{len(later)} lines, none another than the sheet" if later else "nothing"),
            message=f"{where} is read after our drop-in: what it says stays in force, whatever the sheet says. "
            "The runbook never edits a file of yours.",
            remedy="take these lines out, or put their values into the sheet.",
            severity="high",
        )
    ]


def guide_chain_in_ssl_ca(found: Dovecot, *, audit: bool = False) -> Finding:
    """``guide-chain-in-ssl-ca``: the chain is in the certificate's file, which is what clients are sent."""
    finding = ("guide-chain-in-ssl-ca", "the chain is where clients are sent it from")
    lines = [line for line in found.lines if line.name in _CLIENT_CA and _value(line)]
    asks = any(line.name in _ASKS_CLIENTS and _value(line) == "yes" for line in found.lines)
    if not lines or asks or (found.version or "").startswith(f"{_SENDS_CA}."):
        actual = "for client certificates" if lines and asks else "sent from there by 2.2" if lines else "not set"
        return judged(True, *finding, found, actual=actual, message="", remedy="")
    line = lines[-1]
    return _fault(
        *finding,
        found,
        line.text,
        f"{line.path} line {line.number} ({line.text}) names the chain: Dovecot {found.version} takes it for the "
        "authority of client certificates and sends the leaf alone. Clients that lack the intermediate refuse it.",
        "put leaf and intermediates into the certificate's file (05_secure does) and take ssl_ca out.",
        audit=audit,
    )


def guide_auth_file_path(found: Dovecot, *, audit: bool = False) -> Finding:
    """``guide-auth-file-path``: settings stand in files that Dovecot reads, under conf.d."""
    finding = ("guide-auth-file-path", "settings stand in files that are read")
    stray = [
        path
        for path, _ in found.files
        if path.rpartition("/")[0] == CONFIG and path.rpartition("/")[2][:2].isdigit() and not _reads(found, path)
    ]
    if not stray:
        return judged(True, *finding, found, actual="no such file", message="", remedy="")
    return _fault(
        *finding,
        found,
        ", ".join(stray),
        f"{', '.join(stray)} is not read by Dovecot: its files of that kind lie in {CONFIG}/conf.d, so what it says "
        "has no effect, a refusal of logins in clear for instance.",
        f"move what you need to {CONFIG}/conf.d/99-local.conf (or into the sheet) and remove the file.",
        audit=audit,
    )


def configuration_path(found: Dovecot) -> Finding:
    """``configuration-path``: the Dovecot that is found reads the configuration that is looked at, and changed."""
    finding = ("configuration-path", "Dovecot reads the configuration under /etc/dovecot")
    path = doveconf.config_path(found.config)
    if path is None:
        return skipped(*finding, "doveconf does not tell which file it reads while that is not accepted", fact=found)
    return judged(
        path == f"{CONFIG}/dovecot.conf",
        *finding,
        found,
        expected=f"{CONFIG}/dovecot.conf",
        actual=path,
        message=f"`doveconf` reads {path}, so this Dovecot was built by hand or is not the distribution's: a drop-in "
        f"under {CONFIG} would change nothing of what it does, and its files have not been looked at.",
        remedy="remove that Dovecot, or take its folder out of PATH where the distribution's is the one that serves; "
        "or keep it, and do by hand what the plan shows.",
        severity="high",
    )


def other_instance(found: Dovecot) -> Finding:
    """``other-instance``: this Dovecot is the only one on the server."""
    finding = ("other-instance", "no other instance of Dovecot runs here")
    if not found.instances:
        return judged(True, *finding, found, actual="none", message="", remedy="")
    places = ", ".join(found.instances)
    return Finding(
        *finding,
        "skip",
        actual=places,
        message=f"another Dovecot runs here, with its files in {places}: nothing of it is looked at, judged or "
        "changed. Where both want a port, one of them does not start.",
        remedy="see `doveadm instance list`; each instance needs ports of its own.",
        evidence=found.evidence,
    )


def expressible(offered: Packages, system: System, want: Sheet, family: Family) -> list[Finding]:
    """``sheet-expressible``: the Dovecot that is there, or would come, can be told all that the sheet says."""
    finding = ("sheet-expressible", "this Dovecot can be told what the sheet says")
    version = system.dovecot_version or offered.dovecot_installed or offered.candidate_dovecot
    try:
        speaks = dialect(version or "")
    except UnsupportedError:
        return [skipped(*finding, "which Dovecot it is or will be is not known", fact=offered)]
    try:
        can_say(version or "", wanted(want, family, ipv6=system.ipv6))
    except UnsupportedError as error:
        what, follows, remedy = error.what, error.follows, error.remedy
    else:
        what = follows = remedy = ""
    return [
        judged(
            not what,
            *finding,
            [offered, system],
            expected=f"settings of Dovecot {speaks.VERSION}",
            actual=what or "all of them",
            message=f"{what}: {follows}",
            remedy=remedy,
            severity="critical",
            blocking=True,
        )
    ]


def upgrade_ready(offered: Packages, found: Dovecot) -> list[Finding]:
    """``upgrade-ready``: the Dovecot that the next upgrade brings would start with the configuration that is there."""
    finding = ("upgrade-ready", "the next upgrade's Dovecot would start")
    after = offered.candidate_upgrade
    if found.version is None or after is None:
        why = f"the package manager did not tell{f' ({offered.untold})' if offered.untold else ''}"
        why = "Dovecot is not installed yet" if found.version is None else why
        return [skipped(*finding, f"{why}: which version an upgrade brings is not known", fact=offered)]
    now, then = (".".join(version.split(".")[:2]) for version in (found.version, after))
    return [
        judged(
            now == then or (now, then) in _UNDERSTOOD or found.drop_in is None,
            *finding,
            [offered, found],
            expected=f"Dovecot {now}",
            actual=f"Dovecot {after}",
            message=f"the package manager offers Dovecot {after}, and our drop-in is written for {now}: it would not "
            f"start under {then}. From the upgrade on nobody could fetch mail.",
            remedy="upgrade when you are there, and run the runbook in apply mode right after it: it writes the same "
            "sheet in the new language. Until then hold it back: `apt-mark hold dovecot-core`, or exclude=dovecot* in "
            "/etc/dnf/dnf.conf (/etc/yum.conf).",
        )
    ]


def _fault(  # noqa: PLR0917  # a finding's own parts, in their order
    id: str,  # noqa: A002  # the finding's own word
    title: str,
    found: Dovecot,
    actual: str,
    message: str,
    remedy: str,
    *,
    audit: bool,
) -> Finding:
    """A fault that our own drop-in makes harmless: good once that is there, to come before, and bad in an audit."""
    if dropin.split(found.drop_in or "").tls and "required" in (found.settings.ssl or ""):
        return judged(True, id, title, found, actual=f"{actual}; our drop-in makes up for it", message="", remedy="")
    if not audit:
        return Finding(
            id,
            title,
            "skip",
            actual=actual,
            message=f"pending 05_secure: {message}",
            remedy=remedy,
            evidence=found.evidence,
        )
    return judged(False, id, title, found, actual=actual, message=message, remedy=remedy)


def _value(line: Line) -> str:
    return line.text.partition("=")[2].strip()


def _reads(found: Dovecot, path: str) -> bool:
    return any(fnmatch.fnmatch(path.removeprefix(f"{CONFIG}/"), name) for name in found.layout.named)
