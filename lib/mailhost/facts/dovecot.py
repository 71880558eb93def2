"""Dovecot as it is on the server: version, effective settings, configuration files, our drop-in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailhost.dovecot import DIALECTS, dropin, v24
from mailhost.dovecot.layout import Include, Layout, layout
from mailhost.dovecot.settings import Settings, values
from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import doveconf
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

CONFIG = "/etc/dovecot"
INCLUDE = "!include"
_TRUSTED = "login_trusted_networks"
_PROXIES = "haproxy_trusted_networks"
_CIPHERS = "ssl_cipher_list"
# Not ours to set; where they stand tells of a chain that is not sent, or of a proxy.
_TOLD = (
    _TRUSTED,
    _PROXIES,
    _CIPHERS,
    "ssl_ca",
    "ssl_server_ca_file",
    "ssl_verify_client_cert",
    "ssl_server_request_client_cert",
)

# Certificates that packages make for themselves; one of these is no set-up of the owner's.
STOCK_CERTIFICATES = frozenset(
    {
        "",
        "/etc/dovecot/private/dovecot.pem",
        "/etc/pki/dovecot/certs/dovecot.pem",
        "/etc/ssl/certs/dovecot.pem",
        "/etc/ssl/certs/ssl-cert-snakeoil.pem",
    }
)


@dataclass(frozen=True)
class Line:
    """Where a setting stands: for telling a person which line to look at. ``name`` is its full one.

    A line that includes other files has the name `INCLUDE`.
    """

    path: str
    number: int
    name: str
    text: str


@dataclass(frozen=True)
class Dovecot(Fact):
    """Dovecot as it is on the server.

    version       such as ``2.3.19.1``; None when it is not installed
    settings      the effective ones, of whatever dialect; empty when doveconf could not tell them
    valid, error  whether Dovecot accepts its configuration with every file that it names, and its words if not
    running       whether its unit is active
    trusted_networks   from where logins in clear are accepted, in sections too; empty for nowhere, None when not told
    proxies       networks that may tell which client they speak for
    filtered      settings inside of ``protocol``, ``local``, ``remote``: they override the effective ones there
    ciphers       the list of ciphers in force, in OpenSSL's words; None when not told
    files         path to SHA-256 of the configuration files
    lines         where settings that the runbook sets, and includes, stand in these files and in what they include
    drop_in       the text of our file; None when there is none
    instances     the base_dir of each other instance that runs beside it
    drop_in_time  when it was written, in seconds since 1970
    """

    version: str | None = None
    settings: Settings = field(default_factory=Settings)
    valid: bool | None = None
    error: str = ""
    running: bool = False
    config: str = ""
    filtered: tuple[doveconf.Row, ...] = ()
    trusted_networks: str | None = None
    proxies: str = ""
    ciphers: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    lines: tuple[Line, ...] = ()
    layout: Layout = field(default_factory=Layout)
    instances: tuple[str, ...] = ()
    drop_in: str | None = None
    drop_in_time: int | None = None

    @property
    def installed(self) -> bool:
        """Whether there is a Dovecot at all."""
        return self.version is not None

    @property
    def drop_in_path(self) -> str:
        """Where our file lies or will lie."""
        return f"{CONFIG}/conf.d/{dropin.NAME}"

    @property
    def drop_in_digest(self) -> str | None:
        """SHA-256 of our file as it lies there."""
        if self.drop_in is None:
            return None
        return hashlib.sha256(self.drop_in.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def serves_tls(self) -> bool:
        """Whether clients get TLS now: a running Dovecot with TLS on and a certificate that it could read."""
        return bool(
            self.running and self.valid and self.settings.ssl in ("yes", "required") and self.settings.certificate_path
        )

    @property
    def tls_is_set_up(self) -> bool:
        """Whether TLS is served, or would be after the next start with a certificate that somebody chose.

        A Dovecot that is down for a moment must not lose its TLS to the guide's temporary ``ssl = no``.
        """
        chosen = self.settings.certificate_path not in (None, *STOCK_CERTIFICATES)
        return self.serves_tls or (chosen and self.settings.ssl in ("yes", "required"))


# doveconf of 2.4.1 wants a pipe; the exit code is then that of cat, and what is not told is not known. A name that it
# does not know it passes over, and tells the others.
_ASK = """\
case "$(dovecot --version 2>/dev/null)" in "$1".*) ;; *) exit 0 ;; esac
shift
doveconf "$@" | cat
"""
_CHANGED = "command -v doveconf >/dev/null || exit 0; doveconf -n | cat"
# -x reads the files behind `<` too, so a certificate that is not there is found here
_VALID = "command -v doveconf >/dev/null || exit 0; doveconf -nx >/dev/null"
_FILES = """\
[ -d "$1" ] || exit 0
find -L "$1" -type f '(' -name '*.conf' -o -name '*.conf.ext' ')' -exec sha256sum {} + | sort -k 2
"""
# Files that lie elsewhere and are included by their full path count too, and what these include.
_GREP = """\
[ -d "$1" ] || exit 0
IFS='
'
elsewhere() {
    for pattern in $(sed -nE 's/^[[:space:]]*!include(_try)?[[:space:]]+(\\/[^[:space:]]+).*/\\2/p' "$@"); do
        case $pattern in "$top"/*) continue ;; esac
        for file in $pattern; do [ ! -f "$file" ] || echo "$file"; done
    done
}
top=$1
own=$(find -L "$1" -type f -name '*.conf')
[ -n "$own" ] || exit 0
others=$(elsewhere $own)
further=$([ -z "$others" ] || elsewhere $others)
printf '%s\\n' "$own" "$others" "$further" | sort -u | while IFS= read -r file; do
    [ -z "$file" ] || grep -nHE "$2" "$file"
done | sort -t : -k 1,1 -k 2,2n
"""
_CONTENT = '[ -e "$1" ] || exit 0; base64 "$1"'
_TIME = '[ -e "$1" ] || exit 0; stat -c %Y "$1"'
# names only: dovecot.conf may hold passwords as values
_LAYOUT = """\
[ -r "$1" ] || exit 0
grep -nE '^[[:space:]]*(!include|[^#]*[{][[:space:]]*$|[}]|[a-z_]+[[:space:]]*=)' "$1" | sed 's/=.*/=/'
"""
# where it runs when a broken configuration does not tell; /var/run is the same folder
_BASE = "/run/dovecot"
_INSTANCES = "command -v doveadm >/dev/null || exit 0; doveadm instance list | cat"
_ACTIVE = 'systemctl is-active "$1" || :'


def _commands(sheet: Sheet, family: Family | None) -> Mapping[str, Command]:
    del sheet
    spoken = (name for dialect in DIALECTS for own in dialect.NAMES.values() for name in own)
    names = sorted({*_TOLD, *v24.IN_SECTION, *spoken})
    anchored = rf"^[[:space:]]*(!include(_try)?[[:space:]]|({'|'.join(names)})[[:space:]]*[={{])"
    asked = {
        f"asked {dialect.VERSION}": sh(
            _ASK,
            dialect.VERSION,
            *(name for own in dialect.NAMES.values() for name in own),
            _TRUSTED,
            _CIPHERS,
        )
        for dialect in DIALECTS
    }
    return {
        "version": sh("command -v dovecot >/dev/null || exit 0; dovecot --version"),
        **asked,
        "changed": sh(_CHANGED),
        "valid": sh(_VALID, ok=None),
        "files": sh(_FILES, CONFIG),
        "lines": sh(_GREP, CONFIG, anchored),
        "drop-in": sh(_CONTENT, f"{CONFIG}/conf.d/{dropin.NAME}"),
        "time": sh(_TIME, f"{CONFIG}/conf.d/{dropin.NAME}"),
        "instances": sh(_INSTANCES),
        "layout": sh(_LAYOUT, f"{CONFIG}/dovecot.conf", ok=(0, 1)),
        "active": sh(_ACTIVE, family.unit if family else "dovecot.service"),
    }


def _read(results: Mapping[str, Result]) -> Dovecot:
    version = doveconf.version(results["version"].checked().stdout)
    files = tuple(_digest(line) for line in results["files"].stdout.splitlines() if line.strip())
    if version is None:
        return Dovecot(files=files, drop_in=_text(results["drop-in"]))
    changed = doveconf.rows(results["changed"].stdout)
    known = [dialect for dialect in DIALECTS if version.startswith(f"{dialect.VERSION}.")]
    asked = doveconf.rows(results[f"asked {known[0].VERSION}"].stdout) if known else ()
    return Dovecot(
        version=version,
        settings=known[0].read(asked, changed) if known else Settings(),
        valid=results["valid"].code == 0,
        error=results["valid"].stderr.strip(),
        running=results["active"].stdout.strip() == "active",
        config=results["changed"].stdout,
        filtered=_filtered(changed),
        trusted_networks=_trusted(asked, changed),
        proxies=_networks(changed, _PROXIES),
        ciphers=values(asked).get(_CIPHERS),
        files=files,
        lines=tuple(found for line in results["lines"].stdout.splitlines() if (found := _line(line))),
        layout=layout(tuple(_include(line) for line in results["layout"].stdout.splitlines() if line)),
        instances=_instances(results["instances"].stdout, values(asked).get("base_dir") or _BASE),
        drop_in=_text(results["drop-in"]),
        drop_in_time=int(when) if (when := results["time"].stdout.strip()).isdigit() else None,
    )


def _filtered(changed: tuple[doveconf.Row, ...]) -> tuple[doveconf.Row, ...]:
    """Settings inside of the sections that override global ones for some of the connections."""
    kinds = ("protocol ", "local ", "local_name ", "remote ")
    return tuple(row for row in changed if row.name and row.section and row.section[0].startswith(kinds))


def _trusted(asked: tuple[doveconf.Row, ...], changed: tuple[doveconf.Row, ...]) -> str | None:
    told = doveconf.lists(asked, _TRUSTED)
    return _networks(changed, _TRUSTED) or " ".join(word for _, words in told for word in words) if told else None


def _networks(changed: tuple[doveconf.Row, ...], name: str) -> str:
    """What a list of networks holds, and where it stands in a section."""
    told = ((" ".join(section), " ".join(words)) for section, words in doveconf.lists(changed, name) if words)
    return ", ".join(f"{words} in {where}" if where else words for where, words in told)


def _instances(text: str, own: str) -> tuple[str, ...]:
    """The instances that run, ours left out; the columns are path, name, last used, running."""
    rows = (line.split() for line in text.splitlines())
    places = (row[0] for row in rows if row and row[0].startswith("/") and row[-1] == "yes")
    return tuple(place for place in places if _plain(place) != _plain(own))


def _plain(path: str) -> str:
    return path.rstrip("/").removeprefix("/var")


def _digest(line: str) -> tuple[str, str]:
    digest, _, path = line.partition("  ")
    return path, digest.lstrip("\\")


def _line(line: str) -> Line | None:
    match = re.match(r"(?P<path>[^:]+):(?P<number>\d+):\s*(?P<text>(?P<name>!?[a-z_]+).*)", line)
    if match is None:
        return None
    name = INCLUDE if match["name"].startswith(INCLUDE) else v24.IN_SECTION.get(match["name"], match["name"])
    return Line(match["path"], int(match["number"]), name, match["text"].strip())


def _include(line: str) -> Include:
    number, _, text = line.partition(":")
    return Include(int(number), text.strip())


def _text(result: Result) -> str | None:
    """The file's text; base64 on the way keeps every byte, whatever the file holds."""
    if not result.stdout.strip():
        return None
    try:
        return base64.b64decode(result.stdout).decode("utf-8", "surrogateescape")
    except binascii.Error:
        return None


query = Query("dovecot", "Dovecot and its configuration", _commands, _read)
