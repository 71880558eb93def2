"""Does Dovecot do what the sheet says, judged by what it tells about itself? What it serves is judged elsewhere."""

from __future__ import annotations

import fnmatch
from typing import Any

from mailhost import pki
from mailhost.checks.outcome import judged
from mailhost.dovecot import dialect, dropin
from mailhost.dovecot.settings import Dialect, Settings, certificate_paths, wanted
from mailhost.facts.certificate_files import CertificateFiles, File
from mailhost.facts.dovecot import CONFIG, INCLUDE, Dovecot, Line
from mailhost.facts.system import System
from mailhost.families import Family
from mailhost.finding import Finding, Severity
from mailhost.sheet import Sheet

_MAIL = ("protocols", "listen", "base_dir", "maildir", "cleartext_refused")
_TLS = ("ssl", "certificate_path", "key_path", "minimum", "sessions_kept")
_SERIOUS = frozenset({"ssl", "minimum", "cleartext_refused"})
_CONSEQUENCE = {
    "protocols": "other protocols are served than the sheet says",
    "listen": "it listens at other addresses than the sheet says",
    "base_dir": "its run-time files lie elsewhere",
    "maildir": "people see another mailbox than the one that mail is delivered to",
    "ssl": "logins may go over the network in clear",
    "certificate_path": "another certificate is served",
    "key_path": "another key is used, and with the wrong one every TLS client is dropped",
    "minimum": "connections may be protected by a TLS version that is broken",
    "cleartext_refused": "passwords may go over the network in clear",
    "sessions_kept": "a reload, as after each renewal of the certificate, ends everybody's session",
}


def configuration_valid(found: Dovecot) -> list[Finding]:
    """``configuration-valid``: Dovecot accepts its own configuration, files that it names included."""
    title = "Dovecot accepts its configuration"
    if found.valid is None:
        return [_absent("configuration-valid", title, found)]
    shown: dict[str, Any] = {"severity": "high", "expected": "accepted", "evidence": found.evidence}
    if found.valid:
        return [Finding("configuration-valid", title, "pass", actual="accepted", **shown)]
    return [
        Finding(
            "configuration-valid",
            title,
            "fail",
            actual=found.error[-500:] or "refused without a word",
            message="Dovecot refuses its configuration: what runs keeps the old one, and the next start will fail",
            remedy="correct the file and line that it names, then look with `doveconf -nx >/dev/null`.",
            **shown,
        )
    ]


def settings_effective(
    found: Dovecot, system: System, want: Sheet, family: Family, *, secured: bool = True
) -> list[Finding]:
    """``settings-effective``: each setting of the sheet is in force; with ``secured`` those of TLS as well."""
    title = "The setting is in force"
    if found.version is None:
        return [_absent("settings-effective", title, found)]
    target = wanted(want, family, ipv6=system.ipv6)
    names = [*_MAIL, *_TLS] if secured else list(_MAIL)
    return [
        _effective(found, want, name, target, dialect(found.version))
        for name in names
        if getattr(target, name) is not None
    ]


def _effective(found: Dovecot, want: Sheet, name: str, target: Settings, speaks: Dialect) -> Finding:
    wish, real = getattr(target, name), getattr(found.settings, name)
    spelled = speaks.NAMES[name]
    shown: dict[str, Any] = {
        "severity": "high" if name in _SERIOUS else "medium",
        "subject": spelled[0],
        "expected": _text(wish, name),
        "actual": "not told" if real is None else _text(real, name),
        "evidence": found.evidence,
    }
    title = f"{spelled[0]} is in force"
    if real is None:
        return Finding(
            "settings-effective",
            title,
            "unknown",
            message=f"doveconf did not tell {' '.join(spelled)}, so what is in force is not known",
            remedy=f"run `doveconf {' '.join(spelled)}` on the server and see what it says.",
            **shown,
        )
    inside = _filters(found, want, spelled)
    if _same(name, wish, real) and not inside:
        return Finding("settings-effective", title, "pass", **shown)
    where = inside or stands_in(found, spelled)
    return Finding(
        "settings-effective",
        title,
        "fail",
        message=f"{spelled[0]} is {shown['actual']} and not {shown['expected']}"
        + (f", by {where}" if where else "")
        + f": {_CONSEQUENCE[name]}",
        remedy=f"take that setting out{f' ({where})' if where else ''}, or put its value into the sheet; "
        "then apply section 03_configure, and 05_secure for TLS.",
        **shown,
    )


def _same(name: str, wish: Any, real: Any) -> bool:
    if name in ("protocols", "listen"):
        return sorted(wish) == sorted(real)
    if name == "base_dir":  # /var/run is a link to /run on every distribution with systemd
        return _plain_dir(wish) == _plain_dir(real)
    return bool(wish == real)


def _plain_dir(path: str) -> str:
    return path.rstrip("/").replace("/var/run/", "/run/", 1)


def _filters(found: Dovecot, want: Sheet, spelled: tuple[str, ...]) -> str:
    """The first section of the configuration in which the setting is another for some connections."""
    for row in found.filtered:
        kind, _, name = row.section[0].partition(" ")
        other_name = kind == "local_name" and name.strip('"') not in want.mail_names
        full = "_".join((*row.section[1:], row.name))  # 2.4 prints ssl_server { cert_file } in two
        if not other_name and (row.name in spelled or full in spelled):
            return f"the section {row.section[0]!r} ({row.name} = {row.value})"
    return ""


def stands_in(found: Dovecot, spelled: tuple[str, ...]) -> str:
    """File and line that most likely have the last word: what is read after our drop-in, else any other."""
    others = [line for line in found.lines if line.name in spelled and line.path != found.drop_in_path]
    later = [line for line in others if is_later(found, line)]
    line = next(iter([*later[::-1], *others[::-1]]), None)
    return f"{line.path} line {line.number} ({line.text})" if line else ""


def is_later(found: Dovecot, line: Line) -> bool:
    """Whether this line is read after our drop-in, and so has the last word."""
    if line.path == f"{CONFIG}/dovecot.conf":
        return line.number in {number for _, number in found.layout.later}
    if any(_names(name, line.path) for name in found.layout.after):
        return True
    if line.path.startswith(f"{CONFIG}/conf.d/"):
        return line.path > found.drop_in_path
    includes = (one for one in found.lines if one.name == INCLUDE and one.path != line.path)
    return any(is_later(found, one) for one in includes if _names(one.text.split()[1], line.path, beside=one.path))


def _names(pattern: str, path: str, beside: str = f"{CONFIG}/dovecot.conf") -> bool:
    """Whether an include names this file: by its full path, or from the folder of the file where the include stands."""
    return fnmatch.fnmatch(path, pattern if pattern.startswith("/") else f"{beside.rpartition('/')[0]}/{pattern}")


def drop_in_as_written(
    found: Dovecot, system: System, want: Sheet, family: Family, *, secured: bool = True
) -> list[Finding]:
    """``drop-in-as-written``: our own file says what the sheet says; before it is ``secured`` its TLS part is free."""
    title = "Our drop-in is as we write it"
    if found.version is None:
        return [_absent("drop-in-as-written", title, found)]
    speaks = dialect(found.version)
    parts = dropin.blocks(speaks, wanted(want, family, ipv6=system.ipv6))
    if not secured:
        parts = dropin.Blocks(parts.mail, dropin.split(found.drop_in or "").tls)
    shown: dict[str, Any] = {"expected": found.drop_in_path, "evidence": found.evidence}
    if found.drop_in == dropin.render(parts, sheet=want.name):
        return [Finding("drop-in-as-written", title, "pass", actual="as written", **shown)]
    return [
        Finding(
            "drop-in-as-written",
            title,
            "fail",
            actual="not there" if found.drop_in is None else "another text",
            message=f"{found.drop_in_path} "
            + ("is not there" if found.drop_in is None else "was edited, or the sheet has changed since")
            + ": Dovecot does not do what the sheet says, or not for its reasons",
            remedy="see the difference with `runbook run SERVER`, put what you need into the sheet, and apply.",
            **shown,
        )
    ]


def certificate_installed(files: CertificateFiles, pair: pki.Pair | None, want: Sheet, family: Family) -> list[Finding]:
    """``certificate-installed``: certificate and key on the server are, byte for byte, those of the sheet.

    Those that an ACME client keeps on the server need only be there: they are what the sheet names.
    """
    title = "Certificate and key are installed"
    if pair is None:
        return [
            Finding(
                "certificate-installed",
                title,
                "skip",
                "high",
                message="the sheet names no usable certificate to compare with",
                evidence=files.evidence,
            )
        ]
    paths = certificate_paths(want, family)
    if pair.key_pem is None:
        return [_kept(path, file, files) for path, file in zip(paths, (files.certificate, files.key), strict=True)]
    pairs = ((paths[0], files.certificate, pair.fullchain_pem), (paths[1], files.key, pair.key_pem))
    return [_installed(path, file, content, files) for path, file, content in pairs]


def _installed(path: str, file: File, content: bytes, files: CertificateFiles) -> Finding:
    digest = pki.sha256(content)
    shown: dict[str, Any] = {
        "severity": "high",
        "subject": path,
        "expected": f"sha256 {digest[:16]}",
        "actual": "not there" if file.digest is None else f"sha256 {file.digest[:16]}",
        "evidence": files.evidence,
    }
    title = "Certificate and key are installed"
    if file.digest == digest:
        return Finding("certificate-installed", title, "pass", **shown)
    return Finding(
        "certificate-installed",
        title,
        "fail",
        message=f"{path} is {'not there' if file.digest is None else 'another file than the sheet names'}: "
        "clients are served another certificate, or none, after the next reload",
        remedy="apply section 05_secure; when the server renews its certificate itself, give the sheet the new files.",
        **shown,
    )


def _kept(path: str, file: File, files: CertificateFiles) -> Finding:
    return judged(
        file.digest is not None,
        "certificate-installed",
        "Certificate and key are installed",
        files,
        subject=path,
        expected="there",
        actual="not there" if file.digest is None else f"sha256 {file.digest[:16]}",
        message=f"{path} is not there: Dovecot will not start again without it",
        remedy="have the ACME client issue the certificate, or correct the path in the sheet.",
        severity="high",
    )


def key_file_protected(files: CertificateFiles) -> list[Finding]:
    """``key-file-protected``: only root can read the private key."""
    title = "Only root can read the private key"
    key = files.key
    if key.digest is None:
        return [
            Finding(
                "key-file-protected",
                title,
                "skip",
                "high",
                message="there is no private key on the server yet",
                evidence=files.evidence,
            )
        ]
    shown: dict[str, Any] = {
        "severity": "high",
        "subject": key.path,
        "expected": "0600 or 0400, root:root",
        "actual": f"{key.mode}, {key.owner}",
        "evidence": files.evidence,
    }
    if key.mode in ("0600", "0400") and key.owner == "root:root":
        return [Finding("key-file-protected", title, "pass", **shown)]
    return [
        Finding(
            "key-file-protected",
            title,
            "fail",
            message=f"{key.path} is {key.mode} {key.owner}: others than root can read the key and pose as the server",
            remedy=f"`chown root:root {key.path}; chmod 0600 {key.path}`; section 05_secure does so to a key "
            "that it installed. Dovecot opens it as root. If somebody may have read it, request a new certificate with "
            "a new key.",
            **shown,
        )
    ]


def trusted_networks(found: Dovecot) -> list[Finding]:
    """``trusted-networks``: no network is excepted from the rule that logins are encrypted.

    Those of proxies have a subject of their own where there are any.
    """
    title = "No network is trusted with logins in clear"
    if found.version is None:
        return [_absent("trusted-networks", title, found)]
    shown: dict[str, Any] = {"expected": "none", "evidence": found.evidence}
    proxies = [_proxies(found, title)] if found.proxies else []
    if found.trusted_networks is None:
        return [
            Finding(
                "trusted-networks",
                title,
                "unknown",
                actual="not told",
                message="doveconf did not tell login_trusted_networks, so exceptions are not known",
                remedy="run `doveconf login_trusted_networks` on the server and see what it says.",
                **shown,
            ),
            *proxies,
        ]
    if not found.trusted_networks:
        return [Finding("trusted-networks", title, "pass", actual="none", **shown), *proxies]
    where = stands_in(found, ("login_trusted_networks",))
    return [
        Finding(
            "trusted-networks",
            title,
            "fail",
            actual=found.trusted_networks,
            message=f"from {found.trusted_networks} passwords are accepted in clear (up to Dovecot 2.3 even with "
            "ssl = required): whoever listens there reads them, and a test from there proves nothing",
            remedy=f"take login_trusted_networks out{f' ({where})' if where else ''} unless a proxy needs it.",
            **shown,
        ),
        *proxies,
    ]


def _proxies(found: Dovecot, title: str) -> Finding:
    name = "haproxy_trusted_networks"
    where = stands_in(found, (name,))
    return Finding(
        "trusted-networks",
        title,
        "fail",
        subject=name,
        expected="none",
        actual=found.proxies,
        message=f"from {found.proxies} a listener with `haproxy = yes` is told any address as the client's: whoever "
        "is there logs in as from wherever he likes, and logs, limits and bans go by that address",
        remedy=f"take {name} out{f' ({where})' if where else ''} unless there is a proxy; then name it alone.",
        evidence=found.evidence,
    )


def _absent(identity: str, title: str, found: Dovecot, severity: Severity = "medium") -> Finding:
    return Finding(identity, title, "skip", severity, message="Dovecot is not installed yet", evidence=found.evidence)


_WORDS = {"cleartext_refused": ("accepted", "refused"), "sessions_kept": ("yes", "no")}


def _text(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return _WORDS[name][value]
    return ", ".join(value) if isinstance(value, tuple) else str(value) or "(empty)"
