"""Certificate and key as they lie on the server: what, whose and how protected, never the key itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailhost.dovecot.settings import certificate_paths
from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet


@dataclass(frozen=True)
class File:
    """One file; ``digest`` is SHA-256, or None when it is not there.

    mode      four digits, as in ``0600``
    owner     ``root:root``
    label     SELinux's, empty where there is none
    """

    path: str = ""
    digest: str | None = None
    mode: str = ""
    owner: str = ""
    label: str = ""


@dataclass(frozen=True)
class CertificateFiles(Fact):
    """Certificate and key at the places that the sheet (or the family) names."""

    certificate: File = field(default_factory=File)
    key: File = field(default_factory=File)


# %C is SELinux's label; without SELinux stat prints `?` and fails
_LOOK = """\
[ -e "$1" ] || { echo "absent $1"; exit 0; }
label=$(stat -L -c %C "$1" 2>/dev/null) || label='?'
stat -L -c "%a %U:%G $label" "$1"
sha256sum <"$1"
"""


def _commands(sheet: Sheet, family: Family | None) -> Mapping[str, Command]:
    if family is None:
        return {}
    certificate, key = certificate_paths(sheet, family)
    return {"certificate": look_at(certificate), "key": look_at(key)}


def look_at(path: str) -> Command:
    """What asks for one file: its digest, mode, owner and label."""
    return sh(_LOOK, path)


def read(results: Mapping[str, Result]) -> CertificateFiles:
    """Both files. Raises CommandError when one is there and cannot be read."""
    if not results:
        return CertificateFiles()
    return CertificateFiles(file(results["certificate"]), file(results["key"]))


def file(result: Result) -> File:
    """What `look_at` found. Raises CommandError when the file is there and cannot be read."""
    out, path = result.checked().stdout, result.command.argv[4]
    if out.startswith("absent"):
        return File(path)
    match = re.match(r"(?P<mode>\d+) (?P<owner>\S+) (?P<label>\S+)\n(?P<digest>[0-9a-f]{64})", out)
    if match is None:
        raise result.error()
    label = "" if match["label"] == "?" else match["label"]
    return File(path, match["digest"], match["mode"].rjust(4, "0"), match["owner"], label)


query = Query("certificate_files", "Certificate and key on the server", _commands, read)
