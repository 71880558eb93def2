"""Lines of passwd, each followed by what stat says of the user's home, Maildir and mbox.

jc's passwd parser stops at the first irregular line (NIS has ``+``), where we must go on.
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict


class Row(TypedDict, total=False):
    """One user; the keys of what does not exist are missing."""

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str
    home_owner: int
    home_mode: str
    maildir_owner: int
    maildir_mode: str
    mbox_bytes: int
    awaited: bool


class Listed(NamedTuple):
    """The users, the least uid of a person, the files that refuse every login, and whether Dovecot heeds them."""

    uid_min: int
    rows: list[Row]
    nologin: tuple[str, ...]
    pam_nologin: bool


def users(text: str, *, maildir: str) -> Listed:
    """Users with their folders; ``maildir`` is the path below their homes."""
    rows: list[Row] = []
    uid_min, pam_nologin = 1000, False
    nologin: list[str] = []
    for line in text.splitlines():
        kind, _, rest = line.partition("=")
        if kind == "uid_min" and rest.isdigit():
            uid_min = int(rest)
        elif kind == "nologin":
            nologin.append(rest)
        elif kind == "pam_nologin":
            pam_nologin = rest == "yes"
        elif kind == "user":
            name, _, uid, gid, gecos, home, shell = rest.split(":", 6)
            rows.append({"name": name, "uid": int(uid), "gid": int(gid), "gecos": gecos, "home": home, "shell": shell})
        elif kind == "awaited" and rows:
            rows[-1]["awaited"] = rest == "yes"
        elif kind == "stat" and rows:
            _add(rows[-1], rest, maildir)
    return Listed(uid_min, rows, tuple(nologin), pam_nologin)


def _add(row: Row, stat: str, maildir: str) -> None:
    owner, mode, size, what, path = stat.split(":", 4)
    if what != "directory":
        if path == f"/var/mail/{row['name']}":
            row["mbox_bytes"] = int(size)
    elif path == row["home"]:
        row["home_owner"], row["home_mode"] = int(owner), mode
    elif path == f"{row['home']}/{maildir}":
        row["maildir_owner"], row["maildir_mode"] = int(owner), mode
