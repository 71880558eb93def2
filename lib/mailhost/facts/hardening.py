"""How Dovecot is shut in: processes, files, sockets, accounts, the unit's sandbox, logs, and pending updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import hardening, pairs
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

CONFIG = "/etc/dovecot"
_SANDBOX = ("ProtectSystem", "PrivateTmp", "PrivateDevices")
_PACKAGED = ("/usr/lib/", "/lib/")  # where packages put their units
_SHOW = """\
unit=$1; shift
for property in "$@"; do set -- "$@" -p "$property"; shift; done
systemctl show "$@" "$unit"
files=$(systemctl show -p FragmentPath -p DropInPaths "$unit" | sed 's/^[^=]*=//')
grep -hoE '^[[:space:]]*(ProtectSystem|PrivateTmp|PrivateDevices)[[:space:]]*=' $files /dev/null |
  sed 's/^[[:space:]]*/said=/; s/[[:space:]]*=$//'
exit 0
"""
# The master and what it started. One entry a name and a user is enough: thousands of sessions are all alike.
_PROCESSES = """\
main=$(systemctl show -p MainPID "$1" | sed 's/.*=//')
[ "${main:-0}" -gt 0 ] || exit 0
sed -n 's/^Max core file size  *\\([^ ]*\\).*/core=\\1/p' "/proc/$main/limits"
echo "pattern=$(cat /proc/sys/kernel/core_pattern 2>/dev/null)"
for status in "/proc/$main/status" $(grep -lE "^PPid:[[:space:]]+$main\\$" /proc/[0-9]*/status 2>/dev/null | head -n 40)
do
  folder=${status%/status}
  sed -n -e 's/^Name:[[:space:]]*/name=/p' -e 's/^Uid:[[:space:]]*[0-9]*[[:space:]]*\\([0-9]*\\).*/uid=\\1/p' \\
    "$status" 2>/dev/null
  echo "exe=$(readlink "$folder/exe")"
  sed -n 's/.* \\(\\/\\(usr\\|lib\\|opt\\)[^ ]*\\) (deleted)$/gone=\\1/p' "$folder/maps" 2>/dev/null | sort -u
done
"""
# What others than root may write; and, of what sections of the configuration name, who may read it.
_FILES = """\
[ -d "$1" ] || exit 0
find -L "$1" '(' -type f -o -type d ')' '(' -perm -0002 -o ! -user root -o -perm -0020 ! -group root ')' \\
  -exec stat -L -c 'writable=%a %U:%G %n' {} +
find -L "$1" -type f -perm -0004 -exec grep -lE "$2" {} + | sed 's/^/secret=/'
command -v doveconf >/dev/null 2>&1 || exit 0
# a variable in a path stands for any name
doveconf -n 2>/dev/null | sed -n -e 's/^[[:space:]]*args = \\(.* \\)\\{0,1\\}\\(\\/[^ ]*\\)$/\\2/p' \\
    -e 's/^[[:space:]]*passwd_file_path = //p' |
  sed -e 's/%{[^}]*}/*/g' -e 's/%[-0-9.]*[A-Z]*[a-z]/*/g' | sort -u | while read -r pattern; do
  IFS=; for file in $pattern; do
    [ -f "$file" ] || continue
    stat -L -c 'named=%a %U:%G %n' "$file"
    grep -qE '^root:' "$file" && echo "root=$file"
    grep -qE '^[^#:]*:.*[:[:space:]]nopassword([=[:space:]]|$)' "$file" && echo "free=$file"
  done
done
exit 0
"""
_SOCKETS = """\
command -v doveconf >/dev/null 2>&1 || exit 0
base=$(doveconf base_dir 2>/dev/null | sed -n 's/^base_dir = //p'); base=${base:-/run/dovecot}
[ -d "$base" ] || exit 0
stat -L -c 'base=%a %U %n' "$base"
[ -d "$base/login" ] && stat -L -c 'login=%a %U %n' "$base/login"
find "$base/" -xdev -type s -perm -0002 | sed 's/^/open=/'
# those that lie elsewhere, as Postfix's: its folder keeps others out
doveconf -n 2>/dev/null | sed -n -e 's/^[[:space:]]*unix_listener "\\{0,1\\}\\(\\/[^" ]*\\)"\\{0,1\\} {$/\\1/p' \\
    -e 's/^[[:space:]]*path = \\(\\/.*\\)$/\\1/p' | sort -u | while read -r path; do
  case $path in "$base"/*) continue ;; esac
  [ -z "$(find "${path%/*}/" -maxdepth 0 -perm -0001)" ] && echo "shut=$path"
done
exit 0
"""
_ACCOUNTS = """\
command -v doveconf >/dev/null 2>&1 || exit 0
doveconf default_login_user default_internal_user 2>/dev/null | sed -n 's/^\\([a-z_]*\\) = /\\1 /p' |
  while read -r setting name; do [ -z "$name" ] || echo "$setting=$(getent passwd "$name")"; done
least=$(sed -n 's/^UID_MIN[[:space:]][[:space:]]*\\([0-9][0-9]*\\).*/\\1/p' /etc/login.defs 2>/dev/null | head -n 1)
getent passwd | while IFS=: read -r name password uid rest; do
  case $uid in ''|*[!0-9]*) continue ;; esac
  if [ "$uid" -lt 500 ] || [ "$uid" -ge "${least:-1000}" ]; then continue; fi
  line=$(getent shadow "$name") || continue
  case $line in "$name:"[\\!*]*) ;; *) echo "system=$name $uid" ;; esac
done
exit 0
"""
# The rules of every service: they include each other.
_PAM = """\
cd /etc/pam.d 2>/dev/null || exit 0
grep -HnsE '^[[:space:]]*(-?auth|@include)[[:space:]]' * | sed 's/^/rule=/'
exit 0
"""
_LOGS = """\
command -v doveconf >/dev/null 2>&1 || exit 0
doveconf log_path info_log_path debug_log_path 2>/dev/null | sed -n 's/^\\([a-z_]*\\) = /\\1 /p' |
  while read -r setting file; do
    echo "$setting=$file"
    case $file in /*) [ ! -f "$file" ] || stat -L -c 'file=%a %U:%G %n' "$file" ;; esac
  done
[ -S /dev/log ] && echo "syslog=yes"
grep -hsoE '^[[:space:]]*"?/[^{]*' /etc/logrotate.conf /etc/logrotate.d/* | sed 's/^/rotates=/'
exit 0
"""
# What the server's own package lists say; nothing is fetched. Without lists apt calls everything current.
_APT = """\
eval "$(apt-config shell lists Dir::State::lists/d)"
set -- "${lists:-/var/lib/apt/lists/}" "$@"
for list in "$1"*_Packages*; do [ -e "$list" ] && break; done
[ -e "$list" ] || { echo "apt has no lists in $1" >&2; exit 0; }
shift
apt-cache policy "$@" | while read -r word version; do
  case $word in
    *:) [ -n "$version" ] || package=${word%:} ;;
  esac
  case $word in
    Installed:) installed=$version ;;
    Candidate:) [ "$installed" != "(none)" ] && [ "$version" != "(none)" ] || continue
      if dpkg --compare-versions "$version" gt "${installed:-0}"; then echo "update=$package $version"; fi ;;
  esac
done
echo known=yes
"""
_DNF = """\
if command -v dnf >/dev/null 2>&1; then dnf -q -C list --upgrades "$@"; else yum -q -C list updates "$@"; fi
"""
# A value that is a secret: a password, a key of an API, a database's connection with its password.
_WITH_SECRETS = (
    r"^[[:space:]]*(([a-z0-9_]*_)?password|dnpass|([a-z0-9_]*_)?secret|([a-z0-9_]*_)?api_key)"
    r"[[:space:]]*=[[:space:]]*[^%[:space:]]|^[[:space:]]*connect[[:space:]]*=.*password="
)


@dataclass(frozen=True)
class Hardening(Fact):
    """How Dovecot is shut in.

    sandbox        properties of the unit, as ``ProtectSystem``; those that this systemd knows
    left_open      those of them that the package's own unit and its drop-ins do not mention; none of a unit of the
                   owner's own
    core_size      how large a core dump may get, in the kernel's words; ``core_pattern`` says where it goes
    processes      Dovecot's own: name, user's number, program
    outdated       programs and libraries that processes still run and that are gone from the disk
    writable       what others than root may write: mode, owner, path
    secrets        files with passwords that everybody may read
    named          files that passdb and userdb sections name: mode, owner, path
    root_listed    those of them in which root stands
    free_listed    those of them that have the field nopassword for somebody
    base, login    mode, owner and path of the run-time folder and of the login processes' own; empty when not there
    open_sockets   sockets in it that everybody may write to
    shut_sockets   those that the configuration puts elsewhere, in a folder that others cannot enter
    accounts       setting to the line of /etc/passwd, as ``default_login_user``
    system_logins  accounts with a password from 500, Dovecot's first, to the least of a person: name and number
    pam            PAM's rules that passwords are checked by: the service's name to its lines
    log_path, info_log_path   as Dovecot says; None when it did not
    log_files      own log files: mode, owner, path
    syslog         whether anybody takes what is sent to syslog
    rotated        what logrotate looks after, as patterns
    updates        package to the newer version that the package manager offers; None when it could not tell
    problem        why not
    """

    sandbox: Mapping[str, str] = field(default_factory=dict)
    left_open: tuple[str, ...] = ()
    core_size: str = ""
    core_pattern: str = ""
    processes: tuple[tuple[str, int, str], ...] = ()
    outdated: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    root_listed: tuple[str, ...] = ()
    free_listed: tuple[str, ...] = ()
    base: str = ""
    login: str = ""
    open_sockets: tuple[str, ...] = ()
    shut_sockets: tuple[str, ...] = ()
    accounts: Mapping[str, str] = field(default_factory=dict)
    system_logins: tuple[str, ...] = ()
    pam: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    log_path: str | None = None
    info_log_path: str | None = None
    log_files: tuple[str, ...] = ()
    syslog: bool = False
    rotated: tuple[str, ...] = ()
    updates: Mapping[str, str] | None = None
    problem: str = ""


def _commands(sheet: Sheet, family: Family | None) -> dict[str, Command]:
    if family is None:
        return {}
    needed = family.needed(tuple(sheet.protocols))
    update = sh(_APT, *needed) if family.manager == "apt" else sh(_DNF, *needed, ok=None, timeout=60)
    return {
        "show": sh(_SHOW, family.unit, *_SANDBOX, "FragmentPath"),
        "processes": sh(_PROCESSES, family.unit, ok=None),  # one that ends while it is looked at is no failure
        "files": sh(_FILES, CONFIG, _WITH_SECRETS),
        "sockets": sh(_SOCKETS, ok=None),
        "accounts": sh(_ACCOUNTS),
        "pam": sh(_PAM),
        "logs": sh(_LOGS),
        "update": update,
    }


def read(results: Mapping[str, Result]) -> Hardening:
    """Everything that was told; what was not is empty. Raises CommandError where systemd or find did not answer."""
    if not results:
        return Hardening(problem="the family of this distribution is not known")
    shown, files = pairs.pairs(results["show"].checked().stdout), hardening.lists(results["files"].checked().stdout)
    packaged = shown.get("FragmentPath", "").startswith(_PACKAGED)
    said = hardening.lists(results["show"].stdout)["said"]
    processes = results["processes"].stdout
    sockets, logs = hardening.lists(results["sockets"].stdout), hardening.lists(results["logs"].stdout)
    update = results["update"]
    updates = hardening.updates(update.stdout, update.stderr, update.code)
    return Hardening(
        sandbox={name: shown[name] for name in _SANDBOX if name in shown},
        left_open=tuple(name for name in _SANDBOX if name not in said) if packaged else (),
        core_size=pairs.pairs(processes).get("core", ""),
        core_pattern=pairs.pairs(processes).get("pattern", ""),
        processes=hardening.processes(processes),
        outdated=hardening.outdated(processes),
        writable=files["writable"],
        secrets=files["secret"],
        named=files["named"],
        root_listed=files["root"],
        free_listed=files["free"],
        base="".join(sockets["base"]),
        login="".join(sockets["login"]),
        open_sockets=sockets["open"],
        shut_sockets=sockets["shut"],
        accounts=pairs.pairs(results["accounts"].stdout),
        system_logins=hardening.lists(results["accounts"].stdout)["system"],
        pam=hardening.pam(results["pam"].stdout),
        log_path=next(iter(logs["log_path"]), None),
        info_log_path=next(iter(logs["info_log_path"]), None),
        log_files=logs["file"],
        syslog=bool(logs["syslog"]),
        rotated=tuple(word for line in logs["rotates"] for word in line.replace('"', " ").split()),
        updates=updates,
        problem="" if updates is not None else update.stderr.strip()[-300:] or "the package manager said nothing",
    )


query: Query[Hardening] = Query("hardening", "How Dovecot is shut in", _commands, read)
