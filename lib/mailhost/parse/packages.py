"""dpkg-query, apt-cache policy, rpm -q, dnf and yum list."""

from __future__ import annotations

import re

_OFFER = re.compile(r"^(?P<name>\S+)\.(?P<arch>noarch|[a-z0-9_]+)\s+(?P<version>\S+)\s+\S+\s*$")


def dpkg(text: str) -> dict[str, str]:
    """Installed package to version, from lines ``name<TAB>version<TAB>status``."""
    rows = (line.split("\t") for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2].endswith(" installed")}  # noqa: PLR2004


def rpm(text: str) -> dict[str, str]:
    """Installed package to version, from lines ``name<TAB>epoch:version-release``."""
    rows = (line.split("\t") for line in text.splitlines())
    return {row[0]: row[1].removeprefix("(none):") for row in rows if len(row) == 2}  # noqa: PLR2004


def apt_policy(text: str) -> dict[str, str | None]:
    """Package to its candidate version; None where apt says ``(none)``."""
    offers: dict[str, str | None] = {}
    name = ""
    for line in text.splitlines():
        if line and not line[0].isspace() and line.endswith(":"):
            name = line[:-1]
        elif name and line.strip().startswith("Candidate:"):
            version = line.partition(":")[2].strip()
            offers[name] = None if version == "(none)" else version
    return offers


def dnf_list(text: str) -> dict[str, str]:
    """Package to the version that dnf or yum offers; yum puts what does not fit on a line of its own, indented."""
    rows = (_OFFER.match(line) for line in re.sub(r"\n[ \t]+", " ", text).splitlines())
    return {row["name"]: row["version"] for row in rows if row}


def lock_holder(text: str) -> str:
    """Who holds a lock of the package manager, from lines ``file`` and a line of /proc/locks; empty when nobody."""
    for line in text.splitlines():
        file, _, holder = line.partition(" ")
        if not file.startswith("/"):
            continue
        # "1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF", or our own line without number and inode
        pid = next((word for word in holder.split() if word.isdigit()), "")
        return f"process {pid} holds {file}" if pid and pid != "0" else f"somebody holds {file}"
    return ""
