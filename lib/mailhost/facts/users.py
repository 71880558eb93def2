"""The system users who may get mail, their homes and Maildirs; and temporary accounts that were left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.names import PREFIX
from mailhost.parse import passwd
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

# One line of passwd, then what stat says of home, Maildir and mbox. Builtins but for one stat a user.
_USERS = """\
least=$(sed -n 's/^UID_MIN[[:space:]][[:space:]]*\\([0-9][0-9]*\\).*/\\1/p' /etc/login.defs 2>/dev/null | head -n 1)
echo "uid_min=${least:=1000}"
if [ -e /etc/pam.d/dovecot ]; then grep -q '^[^#]*pam_nologin' /etc/pam.d/dovecot && echo "pam_nologin=yes"
else echo "pam_nologin=$3"; fi
[ -e /etc/nologin ] && echo "nologin=/etc/nologin"
[ -e /run/nologin ] && echo "nologin=/run/nologin"
getent passwd | while IFS=: read -r name password uid gid gecos home shell; do
  case $uid in ''|*[!0-9]*) continue ;; esac
  case $name in "$2"*) ;; *) if [ "$uid" -lt "$least" ] || [ "$uid" -ge 60000 ]; then continue; fi ;; esac
  printf 'user=%s:x:%s:%s:%s:%s:%s\\n' "$name" "$uid" "$gid" "$gecos" "$home" "$shell"
  case $name in "$2"*) systemctl -q is-active "dovecot-runbook-$name.timer" && echo "awaited=yes" ;; esac
  stat -L -c 'stat=%u:%a:%s:%F:%n' "$home" "$home/$1" "/var/mail/$name" 2>/dev/null
done
exit 0
"""


@dataclass(frozen=True)
class User:
    """One system user who may get mail.

    home_owner, home_mode, maildir_owner, maildir_mode   None when it does not exist (or is no folder)
    awaited      a temporary account whose timer still waits to remove it: its run is under way, or died lately
    mbox_bytes   mail in /var/mail that a Maildir server would not show; None when there is no such file
    """

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str
    home_owner: int | None = None
    home_mode: str | None = None
    maildir_owner: int | None = None
    maildir_mode: str | None = None
    mbox_bytes: int | None = None
    awaited: bool = False

    @property
    def home_exists(self) -> bool:
        """Whether the home is a folder."""
        return self.home_owner is not None

    @property
    def maildir_exists(self) -> bool:
        """Whether the Maildir is a folder."""
        return self.maildir_owner is not None


@dataclass(frozen=True)
class Users(Fact):
    """The users who may get mail, accounts that earlier runs left over, and files that block logins.

    pam_nologin   whether Dovecot's PAM rules let such a file block mail logins (before the install: the family's do)
    """

    uid_min: int = 1000
    rows: tuple[User, ...] = ()
    leftovers: tuple[User, ...] = ()
    nologin: tuple[str, ...] = ()
    pam_nologin: bool = False

    @property
    def homes(self) -> dict[str, str]:
        """Each user who may get mail, and where the home is."""
        return {row.name: row.home for row in self.rows}


def _commands(sheet: Sheet, family: Family | None) -> dict[str, Command]:
    # Red Hat's /etc/pam.d/dovecot asks pam_nologin, Debian's does not
    asks = "yes" if family is not None and family.name == "redhat" else "no"
    return {"users": sh(_USERS, sheet.maildir.removeprefix("~/"), PREFIX, asks)}


def read(results: Mapping[str, Result]) -> Users:
    """Users and leftovers. Raises CommandError when the list could not be read to its end."""
    result = results["users"].checked()
    maildir = result.command.argv[4]
    listed = passwd.users(result.stdout, maildir=maildir)
    rows = [User(**row) for row in listed.rows]
    return Users(
        uid_min=listed.uid_min,
        rows=tuple(user for user in rows if not user.name.startswith(PREFIX)),
        leftovers=tuple(user for user in rows if user.name.startswith(PREFIX)),
        nologin=listed.nologin,
        pam_nologin=listed.pam_nologin,
    )


query: Query[Users] = Query("users", "Users who may get mail", _commands, read)
