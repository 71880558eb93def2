"""What the server says of Dovecot's processes, files and pending updates."""

from __future__ import annotations

from collections import defaultdict

from mailhost.parse import packages

_NONE_FOUND = "No matching "  # dnf's and yum's way to say that nothing is newer


def lists(text: str) -> dict[str, tuple[str, ...]]:
    """Lines ``key=value`` to all values of each key, each once; a key that is not there has none."""
    rows: dict[str, dict[str, None]] = defaultdict(dict)
    for line in text.splitlines():
        key, found, value = line.partition("=")
        if found:
            rows[key][value.strip()] = None
    return defaultdict(tuple, {key: tuple(values) for key, values in rows.items()})


def processes(text: str) -> tuple[tuple[str, int, str], ...]:
    """Name, user's number and program of each kind of process, from lines ``name=``, ``uid=``, ``exe=``."""
    found: dict[tuple[str, int, str], None] = {}
    name, uid = "", -1
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "name":
            name, uid = value, -1
        elif key == "uid" and value.isdigit():
            uid = int(value)
        elif key == "exe" and name and uid >= 0:
            found[name, uid, value] = None
    return tuple(found)


def outdated(text: str) -> tuple[str, ...]:
    """Programs and libraries that are in use and gone from the disk, each once."""
    rows = lists(text)
    programs = (path.removesuffix(" (deleted)") for path in rows["exe"] if path.endswith(" (deleted)"))
    return tuple(sorted({*programs, *rows["gone"]}))


def pam(text: str) -> dict[str, tuple[str, ...]]:
    """Lines ``rule=file:number:rule`` to the rules of each file."""
    rows: dict[str, tuple[str, ...]] = {}
    for line in lists(text)["rule"]:
        name, _, rule = line.split(":", 2)
        rows[name] = (*rows.get(name, ()), rule.partition("#")[0].strip())
    return rows


def updates(text: str, problem: str, code: int) -> dict[str, str] | None:
    """Package to the newer version on offer; None where the package manager could not tell."""
    if "known=yes" in text:
        return dict(line.split(" ", 1) for line in lists(text)["update"] if " " in line)
    if "apt has no lists" in problem:
        return None
    if code != 0:
        return {} if _NONE_FOUND in problem + text else None
    return packages.dnf_list(text)
