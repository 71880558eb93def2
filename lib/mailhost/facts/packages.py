"""Which of Dovecot's packages are installed, and which could be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailhost.families import Family
from mailhost.host import Command, Result, cmd, sh
from mailhost.parse import packages, versions
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

# Candidates are only asked for what is missing: dnf may take seconds and fetch package lists.
_APT = """\
missing=
for package in "$@"; do
  case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
    *" installed") ;; *) missing="$missing $package" ;;
  esac
done
ls /var/lib/apt/lists | grep -c '_Packages' | sed 's/^/lists=/'
# the first one always: what an upgrade would bring
apt-cache policy $missing "$1"
"""
_DNF = """\
missing=
for package in "$@"; do rpm -q "$package" >/dev/null 2>&1 || missing="$missing $package"; done
[ -n "$missing" ] || exit 0
if command -v dnf >/dev/null 2>&1; then dnf -q list --available $missing; else yum -q list available $missing; fi
"""
# From the package lists that are there (-C): an audit neither fetches new ones nor waits for a mirror.
_UPGRADE = """\
if command -v dnf >/dev/null 2>&1; then dnf -q -C list --upgrades "$1"; else yum -q -C list updates "$1"; fi
"""
# dnf and yum end with 1 both for this and for an error.
_NONE = re.compile(r"no matching packages", re.IGNORECASE)
# Both package managers hold POSIX locks while they work, and the kernel lists these with their inodes.
_LOCKS = """\
for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/lib/rpm/.rpm.lock; do
  inode=$(stat -c %i "$file" 2>/dev/null) || continue
  holder=$(grep ":$inode " /proc/locks | head -n 1)
  [ -z "$holder" ] || echo "$file $holder"
done
for file in /var/run/yum.pid /var/cache/dnf/metadata_lock.pid /var/lib/dnf/rpmdb_lock.pid; do
  pid=$(cat "$file" 2>/dev/null) || continue
  [ -d "/proc/$pid" ] && echo "$file POSIX ADVISORY WRITE WRITE $pid"
done
exit 0
"""


@dataclass(frozen=True)
class Packages(Fact):
    """Dovecot's packages on the server.

    needed       the packages that serve the sheet's protocols
    installed    package to its version
    upgrade      the version of Dovecot's first package that the package manager would install now; None when not told
    untold       why it is not told, in the package manager's own words
    candidates   package that is not installed to the version that could be; None when there is none
    reason       why a candidate is not known, in the package manager's own words; empty when all are
    locked_by    who keeps the package manager busy right now; empty when nobody does
    """

    needed: tuple[str, ...] = ()
    installed: Mapping[str, str] = field(default_factory=dict)
    candidates: Mapping[str, str | None] = field(default_factory=dict)
    upgrade: str | None = None
    untold: str = ""
    reason: str = ""
    locked_by: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The needed packages that are not installed."""
        return tuple(name for name in self.needed if name not in self.installed)

    @property
    def dovecot_installed(self) -> str | None:
        """Dovecot's version as installed by package, as in ``2.3.19.1``."""
        return versions.upstream(self.installed.get(self.needed[0])) if self.needed else None

    @property
    def candidate_dovecot(self) -> str | None:
        """Dovecot's version as it would be installed, as in ``2.3.19.1``."""
        return versions.upstream(self.candidates.get(self.needed[0])) if self.needed else None

    @property
    def candidate_upgrade(self) -> str | None:
        """Dovecot's version as the next upgrade brings it, or as it stays."""
        return versions.upstream(self.upgrade) if self.upgrade else None


def _commands(sheet: Sheet, family: Family | None) -> dict[str, Command]:
    if family is None:
        return {}
    needed = family.needed(tuple(sheet.protocols))
    commands = {"needed": cmd("echo", *needed), "locks": sh(_LOCKS)}
    if family.manager == "apt":
        # 1: one of them is not installed
        commands["dpkg"] = cmd("dpkg-query", "-W", "-f", "${Package}\\t${Version}\\t${Status}\\n", *needed, ok=(0, 1))
        commands["apt"] = sh(_APT, *needed)
    else:
        commands["rpm"] = cmd("rpm", "-q", "--qf", "%{NAME}\\t%{EPOCH}:%{VERSION}-%{RELEASE}\\n", *needed, ok=None)
        commands["dnf"] = sh(_DNF, *needed, ok=None, timeout=180)  # 1: nothing matches
    return commands


def _with_upgrade(sheet: Sheet, family: Family | None) -> dict[str, Command]:
    """What an audit asks besides: apt has told it already, dnf takes a second of its own."""
    commands = _commands(sheet, family)
    if family is not None and family.manager != "apt":
        commands["upgrade"] = sh(_UPGRADE, family.needed(tuple(sheet.protocols))[0], ok=None)
    return commands


def read(results: Mapping[str, Result]) -> Packages:
    """Installed and candidate versions; a manager that fails is a candidate of None with its reason."""
    if not results:
        return Packages(reason="the family of this distribution is not known")
    offered: Mapping[str, str | None]
    needed = tuple(results["needed"].checked().stdout.split())
    if "dpkg" in results:
        installed = packages.dpkg(results["dpkg"].stdout)
        said = results["apt"]
        offered = packages.apt_policy(said.stdout)
        empty = "lists=0\n" in said.stdout
        why = "apt has no package lists yet: `apt-get update` was never run" if empty else ""
    else:
        installed = packages.rpm(results["rpm"].stdout)
        said = results["dnf"]
        offered = packages.dnf_list(said.stdout)
        why = ""
    upgrade, untold = _upgrade(results["upgrade"], needed[0], installed) if "upgrade" in results else (None, "")
    missing = [name for name in needed if name not in installed]
    candidates = {name: offered.get(name) for name in missing}
    unknown = [name for name, version in candidates.items() if version is None]
    told = said.stderr.strip()[-300:] or f"the package manager offers no {' '.join(unknown)}"
    return Packages(
        needed=needed,
        installed={name: version for name, version in installed.items() if name in needed},
        candidates=candidates,
        upgrade=upgrade or (offered.get(needed[0]) if needed else None),
        untold=untold,
        reason=(why or told) if unknown else "",
        locked_by=packages.lock_holder(results["locks"].stdout),
    )


def _upgrade(said: Result, package: str, installed: Mapping[str, str]) -> tuple[str | None, str]:
    """The version that an upgrade brings, or why it is not known; no upgrade leaves the one that is there."""
    brings = packages.dnf_list(said.stdout).get(package)
    if brings is None and (said.code == 0 or _NONE.search(said.stdout + said.stderr)):
        brings = installed.get(package)
    return brings, "" if brings else said.stderr.strip()[-200:]


query: Query[Packages] = Query("packages", "Dovecot's packages", _commands, read)
query_with_upgrade: Query[Packages] = Query("packages", "Dovecot's packages", _with_upgrade, read)
