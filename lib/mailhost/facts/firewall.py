"""What the server's own firewall lets in: now, and after the next boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mailhost.facts.ssh import SSH
from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import firewalld, pairs, rules, ufw
from mailhost.parse.firewalld import State
from mailhost.query import Fact, Query
from mailhost.sheet import SERVICES, Sheet

Tool = Literal["firewalld", "ufw", "nftables", "iptables", "none"]

# Which tools are there; the zone of the interface by which SSH comes in is found by the parser.
_TOOLS = """\
set -- firewalld ufw nftables iptables
systemctl show -p ActiveState -p UnitFileState "$1.service" "$2.service" "$3.service" "$4.service" 2>/dev/null |
while read -r line; do
  case $line in
    '') shift ;;
    ActiveState=active|ActiveState=reloading) echo "active_$1=yes" ;;
    UnitFileState=enabled*|UnitFileState=static|UnitFileState=alias|UnitFileState=generated|UnitFileState=indirect)
      echo "enabled_$1=yes" ;;
  esac
done
for tool in firewall-cmd ufw nft iptables; do command -v "$tool" >/dev/null 2>&1 && echo "has_$tool=yes"; done
sed -n 's/^DefaultZone=/default_zone=/p' /etc/firewalld/firewalld.conf 2>/dev/null
sed -n 's/^ENABLED=/ufw_enabled=/p' /etc/ufw/ufw.conf 2>/dev/null
for file in /usr/lib/firewalld/services/*.xml /etc/firewalld/services/*.xml; do
  case ${file##*/} in imap.xml|imaps.xml|pop3.xml|pop3s.xml) [ -e "$file" ] && echo "service_${file##*/}=yes" ;; esac
done
address=${ssh% *}; address=${address##* }
interface=
[ -z "$address" ] || interface=$(ip -o addr 2>/dev/null | grep -F " $address/" | tr -s ' ' | cut -d ' ' -f 2)
[ -n "$interface" ] || interface=$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
echo "interface=$(echo "$interface" | head -n 1)"
exit 0
"""
# Both ends of a pipe run at once, which halves the time: firewall-cmd takes a quarter of a second to start.
_ZONES = """\
systemctl -q is-active firewalld || exit 0
firewall-cmd --permanent --list-all-zones | { firewall-cmd --list-all-zones; echo "@permanent"; cat; }
"""
_UFW = "command -v ufw >/dev/null 2>&1 || exit 0; ufw status verbose"
# What firewalld or ufw wrote themselves is theirs to tell; rules are listed only where neither runs.
_RULES = """\
systemctl -q is-active firewalld && exit 0
if command -v ufw >/dev/null 2>&1 && ufw status | grep -q '^Status: active'; then exit 0; fi
if command -v nft >/dev/null 2>&1; then echo "rules=nft"; nft list ruleset
elif command -v iptables >/dev/null 2>&1; then
  echo "rules=iptables"; iptables -S
  command -v ip6tables >/dev/null 2>&1 && ip6tables -S
fi
exit 0
"""


@dataclass(frozen=True)
class Firewall(Fact):
    """The server's own firewall (a provider's in front of it is seen only from outside).

    tool        what rules the ports; ``none`` when nothing filters incoming connections
    active      whether it filters right now; False for a tool that is installed and stopped
    enabled     whether it starts with the server
    zone        firewalld's zone of the interface by which SSH comes in; permanent_zone: after the next reload
    runtime, permanent   pop3, imap, pop3s, imaps to ``open``, ``closed`` or ``unknown``
    known_services       those of the four that firewalld knows by name; the rest needs a port
    open_as, permanent_as   service to the entries that open it: names (``imaps``) or ports (``993/tcp``)
    raw         what the tool said, to be shown
    idle        a tool that is installed, does not run and will not after a restart; then ``tool`` is ``none``
    """

    tool: Tool = "none"
    active: bool = False
    enabled: bool = False
    zone: str = ""
    permanent_zone: str = ""
    runtime: Mapping[str, State] = field(default_factory=dict)
    permanent: Mapping[str, State] = field(default_factory=dict)
    known_services: tuple[str, ...] = ()
    open_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    permanent_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    raw: str = ""
    idle: str = ""

    @property
    def managed(self) -> bool:
        """Whether it is a tool whose rules we know how to change."""
        return self.tool in ("firewalld", "ufw")


def _commands(_sheet: Sheet, _family: Family | None) -> dict[str, Command]:
    return {
        "tools": sh(SSH + _TOOLS),
        "zones": sh(_ZONES, ok=None, timeout=30),
        "ufw": sh(_UFW, ok=None, timeout=30),
        "rules": sh(_RULES, ok=None, timeout=30),
    }


def read(results: Mapping[str, Result]) -> Firewall:
    """The first of firewalld, ufw and plain rules that filters; else one that will after a restart; else none."""
    tools = pairs.pairs(results["tools"].checked().stdout)
    status = ufw.ufw(results["ufw"].stdout)
    plain = results["rules"].stdout
    if tools.get("active_firewalld"):
        return _firewalld(tools, results["zones"])
    if status.active:
        states = ufw.states(status)
        enabled = tools.get("ufw_enabled", "").lower() == "yes" and tools.get("enabled_ufw") == "yes"
        return Firewall(
            tool="ufw",
            active=True,
            enabled=enabled,
            runtime=states,
            permanent=states,
            open_as=status.open_as,
            permanent_as=status.open_as,
            raw=results["ufw"].stdout,
        )
    if rules.filters(plain):
        tool: Tool = "nftables" if plain.startswith("rules=nft") else "iptables"
        return Firewall(
            tool=tool,
            active=True,
            enabled=tools.get(f"enabled_{tool}") == "yes",
            runtime=_all("unknown"),
            permanent=_all("unknown"),
            raw=plain.partition("\n")[2],
        )
    idle = ""
    for name, tool in (("firewall-cmd", "firewalld"), ("ufw", "ufw")):
        if not tools.get(f"has_{name}"):
            continue
        if tools.get(f"enabled_{tool}") == "yes" and (tool != "ufw" or tools.get("ufw_enabled", "").lower() == "yes"):
            return Firewall(tool=tool, enabled=True, runtime=_all("open"), permanent=_all("unknown"))
        idle = idle or tool
    return Firewall(runtime=_all("open"), permanent=_all("open"), raw=plain.partition("\n")[2], idle=idle)


def _all(state: State) -> dict[str, State]:
    return dict.fromkeys(SERVICES, state)


def _firewalld(tools: Mapping[str, str], said: Result) -> Firewall:
    runtime, _, permanent = said.stdout.partition("@permanent\n")
    now, later = firewalld.zones(runtime), firewalld.zones(permanent)
    default, interface = tools.get("default_zone", "public"), tools.get("interface", "")
    zone = firewalld.zone_of(now, interface, default)
    # An interface that no permanent zone names falls into the default zone, or NetworkManager places it as it did now.
    permanent_zone = firewalld.zone_of(later, interface, zone)
    return Firewall(
        tool="firewalld",
        active=True,
        enabled=tools.get("enabled_firewalld") == "yes",
        zone=zone,
        permanent_zone=permanent_zone,
        runtime=firewalld.states(now.get(zone)),
        permanent=firewalld.states(later.get(permanent_zone)),
        known_services=tuple(name for name in SERVICES if tools.get(f"service_{name}.xml")),
        open_as=firewalld.entries(now.get(zone)),
        permanent_as=firewalld.entries(later.get(permanent_zone)),
        raw=firewalld.block(runtime, zone) or (said.stderr or runtime).strip()[-500:],
    )


query: Query[Firewall] = Query("firewall", "The server's own firewall", _commands, read)
