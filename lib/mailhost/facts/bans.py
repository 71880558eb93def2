"""What bans addresses after failed logins (fail2ban and its kin), and after how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.facts.ssh import SSH, ends
from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import pairs
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

_BANS = """\
echo "ssh=$ssh"
jails=
set -- fail2ban sshguard crowdsec denyhosts
for state in $(systemctl is-active "$@"); do
  if [ "$state" = active ]; then
    echo "active=$1"
    [ "$1" != fail2ban ] || jails=$(fail2ban-client status | sed -n 's/.*Jail list:[[:space:]]*//p' | tr ',' ' ')
  fi
  shift
done
for jail in $jails; do
  case $jail in
    *dovecot*|*imap*|*pop3*|*mail*|recidive)
      echo "jail=$jail"
      for name in maxretry findtime ignoreip; do
        echo "$name=$(fail2ban-client get "$jail" "$name" | tr '\\n' ' ')"
      done ;;
  esac
done
sed -n 's/^[[:space:]]*THRESHOLD=/threshold=/p' /etc/sshguard/sshguard.conf /etc/sshguard.conf 2>/dev/null
exit 0
"""
_ATTACK = 10  # what sshguard counts for one failed login
_THRESHOLD = 30  # sshguard's default


@dataclass(frozen=True)
class Ban:
    """One rule that bans addresses.

    limit    failed logins after which an address is banned; None when not known
    seconds  the time within which they count; None when not known
    ignored  addresses and networks that are never banned
    """

    tool: str
    jail: str = ""
    limit: int | None = None
    seconds: int | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bans(Fact):
    """The tools that are active, and those of their rules that look at mail logins.

    client   this machine's address as the server sees it; empty when not told
    """

    client: str = ""
    active: tuple[str, ...] = ()
    rows: tuple[Ban, ...] = ()


def _commands(_sheet: Sheet, _family: Family | None) -> dict[str, Command]:
    return {"bans": sh(SSH + _BANS, timeout=30)}


def read(results: Mapping[str, Result]) -> Bans:
    """Active tools and their rules for mail logins; denyhosts looks at SSH alone and has none."""
    text = results["bans"].checked().stdout
    active = tuple(line[7:] for line in text.splitlines() if line.startswith("active="))
    rows = [_jail(pairs.pairs("jail=" + part)) for part in text.split("\njail=")[1:]]
    if "sshguard" in active:
        threshold = pairs.number(pairs.pairs(text).get("threshold")) or _THRESHOLD
        rows.append(Ban("sshguard", limit=-(-threshold // _ATTACK)))
    if "crowdsec" in active:
        rows.append(Ban("crowdsec"))
    client, _ = ends(pairs.pairs(text).get("ssh", ""))
    return Bans(client=client, active=active, rows=tuple(rows))


def _jail(rows: Mapping[str, str]) -> Ban:
    # a sentence, then the addresses as the branches of a little tree
    ignored = tuple(word for word in rows.get("ignoreip", "").split() if word[:1].isdigit() or ":" in word[:-1])
    return Ban(
        "fail2ban",
        jail=rows.get("jail", ""),
        limit=pairs.number(rows.get("maxretry")),
        seconds=pairs.number(rows.get("findtime")),
        ignored=ignored,
    )


query: Query[Bans] = Query("bans", "What bans addresses after failed logins", _commands, read)
