"""Temporary accounts for login tests: a real system user with a one-time password that no shell lets in.

Apply makes one, tests with it and removes it at the end. When the run dies, a timer on the server removes it; what
even that has left behind, the next run removes. None of it touches an account that is not marked as ours.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from mailhost import redact
from mailhost.host import Command, sh
from mailhost.names import EXPIRED, GECOS, PREFIX

# sshd refuses users whose shell does not exist, forwarding without a command (`ssh -N`) included; nologin would
# refuse the shell alone. Dovecot's PAM does not look at the shell.
SHELL = "/nonexistent/dovecot-runbook"
MINUTES = 30
_LONG_AGO = "1970-01-02"  # a date that every shadow-utils takes for one

# Both marks must be there: an owner's user may be called rbk-something.
_OURS = """\
ours() {
    case $1 in "$prefix"*) ;; *) return 1 ;; esac
    entry=$(getent passwd "$1") || return 1
    [ "$(echo "$entry" | cut -d : -f 5 | cut -d , -f 1)" = "$gecos" ]
}
remove() {
    ours "$1" || { echo "$1 is not a temporary account of ours: left alone" >&2; return 1; }
    # processes first: userdel refuses a user who is still logged in
    pkill -KILL -u "$1" 2>/dev/null
    tries=0
    while pgrep -u "$1" >/dev/null 2>&1 && [ "$tries" -lt 20 ]; do tries=$((tries + 1)); sleep 0.1; done
    userdel -r "$1" 2>/dev/null || userdel -f -r "$1" 2>/dev/null
    if getent passwd "$1" >/dev/null; then echo "$1 could not be removed" >&2; return 1; fi
    rm -f "/var/mail/$1" "/var/spool/mail/$1"
    return 0
}
"""

# No hash of a random password needs to be slow, and the server's usual one takes 50 ms of its CPU at each login.
_CREATE = """\
user=$1 gecos=$2 shell=$3 ends=$4
useradd -m -c "$gecos" -s "$shell" ${ends:+-e "$ends"} "$user" || exit 1
given=$(cat)
set_password() { printf '%s\\n' "$given" | chpasswd "$@"; }
set_password -c SHA512 -s 1000 2>/dev/null || set_password || { userdel -r "$user"; exit 1; }
"""

# The unit runs in its own time and without us; its text holds no value but the name, which is ours by its making.
# A timer under /run needs nothing of `systemd-run --on-active`, which systemd 208 does not have.
_PLANT = """\
set -e
unit=$1 minutes=$2 script=$3
umask 022
dir=/run/systemd/system
mkdir -p "$dir" /run/dovecot-runbook
chmod 0700 /run/dovecot-runbook
cat >"/run/dovecot-runbook/$unit.sh"
printf '[Unit]\\nDescription=%s\\n[Service]\\nType=oneshot\\nExecStart=/bin/sh /run/dovecot-runbook/%s.sh\\n' \\
    "$script" "$unit" >"$dir/$unit.service"
printf '[Unit]\\nDescription=%s\\n[Timer]\\nOnActiveSec=%smin\\nAccuracySec=1s\\n' \\
    "$script" "$minutes" >"$dir/$unit.timer"
systemctl daemon-reload
systemctl start "$unit.timer"
"""

_CLEAR = """\
clear_timer() {
    systemctl stop "$1.timer" 2>/dev/null
    rm -f "/run/systemd/system/$1.timer" "/run/systemd/system/$1.service" "/run/dovecot-runbook/$1.sh"
}
"""

_REMOVE = (
    "prefix=$2 gecos=$3\n"
    + _OURS
    + _CLEAR
    + """\
if getent passwd "$1" >/dev/null; then remove "$1" || exit 1; fi
clear_timer "dovecot-runbook-$1"
rmdir /run/dovecot-runbook 2>/dev/null
systemctl daemon-reload
"""
)

_LEFTOVERS = (
    "prefix=$1 gecos=$2 dead=$3\n"
    + _OURS
    + _CLEAR
    + """\
rc=0
for user in $(getent passwd | cut -d : -f 1 | grep "^$prefix"); do
    ours "$user" || continue
    # a run that may still be under way keeps its account until its own timer is due
    case " $dead " in *" $user "*) ;; *) systemctl -q is-active "dovecot-runbook-$user.timer" && continue ;; esac
    if remove "$user"; then echo "removed $user"; clear_timer "dovecot-runbook-$user"; else rc=1; fi
done
exit $rc
"""
)


@dataclass(frozen=True)
class Account:
    """A temporary account; its password exists only in this process and, hashed, on the server."""

    name: str
    password: str = field(repr=False)
    run: str = ""
    expired: bool = False

    @property
    def unit(self) -> str:
        """The timer that removes it when nobody else does."""
        return f"dovecot-runbook-{self.name}"


def temporary(run_id: str, *, expired: bool = False) -> Account:
    """A new account for one run, not made yet; its password is registered for redaction.

    An expired one, which nothing may let in, bears that in its name: what Dovecot logs of it is told by it.
    """
    name = f"{PREFIX}{EXPIRED if expired else ''}{secrets.token_hex(4)}"
    account = Account(name, secrets.token_urlsafe(24), run_id, expired)
    redact.register(account.password, login=account.name)
    return account


def create(account: Account, *, minutes: int = MINUTES) -> tuple[Command, ...]:
    """Plant the timer that removes the account, then make it: no moment without a way out."""
    script = (
        f"prefix='{PREFIX}' gecos='{GECOS}'\n{_OURS}{_CLEAR}"
        f"if getent passwd {account.name} >/dev/null; then remove {account.name} || exit 1; fi\n"
        f"clear_timer {account.unit}\n"
    )
    run = re.sub(r"[^A-Za-z0-9._:-]", "", account.run)  # systemd gives % and line ends a meaning
    described = f"Remove {account.name}, a temporary account of dovecot-runbook, run {run}"
    ends = _LONG_AGO if account.expired else ""
    return (
        sh(_PLANT, account.unit, str(minutes), described, stdin=script.encode()),
        sh(_CREATE, account.name, GECOS, SHELL, ends, stdin=f"{account.name}:{account.password}\n".encode()),
    )


def remove(account: Account) -> tuple[Command, ...]:
    """Remove the account, its mail, its processes and its timer; fine as well when the timer was first."""
    return (sh(_REMOVE, account.name, PREFIX, GECOS),)


def remove_leftovers(dead: Iterable[str] = ()) -> tuple[Command, ...]:
    """Remove accounts of earlier runs: those named ``dead``, and all whose timer is gone, as after a restart.

    Any other whose timer still waits may belong to a run that is under way elsewhere: it is left to its timer.
    """
    return (sh(_LEFTOVERS, PREFIX, GECOS, " ".join(dead)),)
