"""Who and what the server is: the one query that works before its family is known."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailhost.facts.ssh import SSH, ends
from mailhost.families import Family
from mailhost.host import Command, Result, cmd, sh
from mailhost.parse import addresses, os_release, pairs, versions
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

_ABOUT = """\
echo "kernel=$(uname -r)"; echo "arch=$(uname -m)"; echo "hostname=$(uname -n)"; echo "uid=$(id -u)"
echo "systemd=$(systemctl --version 2>/dev/null | head -n 1)"
echo "machine_id=$(cat /etc/machine-id 2>/dev/null)"
echo "boot_id=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
echo "boot_time=$(sed -n 's/^btime //p' /proc/stat 2>/dev/null)"
sed -n 's/^\\(Mem[A-Za-z]*\\|Buffers\\|Cached\\): *\\([0-9]*\\) kB$/\\1=\\2/p' /proc/meminfo
if command -v getenforce >/dev/null 2>&1; then echo "selinux=$(getenforce)"; else echo selinux=absent; fi
echo "restorecon=$(command -v restorecon)"
echo "ipv6_sysctl=$(cat /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null)"
echo "ipv6_addresses=$(cat /proc/net/if_inet6 2>/dev/null | wc -l)"
echo "ssh=$ssh"
"""
_ADDRESSES = "if command -v ip >/dev/null 2>&1; then ip -o addr; else hostname -I; fi"


@dataclass(frozen=True)
class Address:
    """One address of the server; ``scope`` is ``global``, ``link``, ``host`` or empty (not told)."""

    interface: str
    address: str
    scope: str = ""


@dataclass(frozen=True)
class System(Fact):
    """Who and what the server is.

    os_release      the keys of /etc/os-release
    systemd         its version as a number; None where systemd is not
    memory_total_kb, memory_available_kb   None where /proc does not tell
    selinux         ``enforcing``, ``permissive``, ``disabled`` or ``absent``
    ipv6            whether the kernel has any IPv6 address, loopback's included
    ssh_client, ssh_address   the two ends of the SSH connection as the server sees them; empty when not told
    dovecot_version   as in ``2.3.19.1``; None when not installed
    dovecot_problem   what `dovecot --version` said when it is there and its version could not be read
    boot_time       seconds since 1970
    """

    os_release: Mapping[str, str] = field(default_factory=dict)
    kernel: str = ""
    arch: str = ""
    systemd: int | None = None
    hostname: str = ""
    machine_id: str = ""
    boot_id: str = ""
    boot_time: int | None = None
    uid: int | None = None
    memory_total_kb: int | None = None
    memory_available_kb: int | None = None
    selinux: str = "absent"
    restorecon: bool = False
    ipv6: bool = False
    addresses: tuple[Address, ...] = ()
    ssh_client: str = ""
    ssh_address: str = ""
    dovecot_version: str | None = None
    dovecot_problem: str = ""

    @property
    def pretty_name(self) -> str:
        """The distribution as it calls itself."""
        return self.os_release.get("PRETTY_NAME") or self.os_release.get("ID") or "unknown"

    @property
    def id(self) -> str:
        """The distribution's identifier, as in ``debian``."""
        return self.os_release.get("ID", "")

    @property
    def version(self) -> str:
        """The distribution's version, as in ``12``."""
        return self.os_release.get("VERSION_ID", "")

    @property
    def memory_kb(self) -> tuple[int | None, int | None]:
        """Total and available memory."""
        return self.memory_total_kb, self.memory_available_kb

    @property
    def public_addresses(self) -> tuple[str, ...]:
        """The addresses at which others may reach the server: neither loopback nor link-local."""
        shown = (row.address for row in self.addresses)
        return tuple(a for a in shown if not (_ip(a).is_loopback or _ip(a).is_link_local))

    @property
    def interface(self) -> str:
        """The network interface that holds the address to which SSH connects; empty when not known."""
        return next((row.interface for row in self.addresses if row.address == self.ssh_address), "")


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


def _commands(_sheet: Sheet, _family: Family | None) -> dict[str, Command]:
    return {
        "os_release": cmd("cat", "/etc/os-release", ok=(0, 1)),  # 1: no such file, an unknown distribution
        "about": sh(SSH + _ABOUT),
        "addresses": sh(_ADDRESSES, ok=None),  # what cannot be told is an empty list
        "dovecot": cmd("dovecot", "--version", ok=None),  # 127: not installed
    }


def read(results: Mapping[str, Result]) -> System:
    """The server's own account of itself. Raises CommandError when its shell could not tell."""
    about = pairs.pairs(results["about"].checked().stdout)
    said = results["dovecot"]
    version = versions.upstream(said.stdout) if said.code == 0 else None
    absent = said.code in (126, 127)
    client, server = ends(about.get("ssh", ""))
    return System(
        os_release=os_release.os_release(results["os_release"].stdout),
        kernel=about.get("kernel", ""),
        arch=about.get("arch", ""),
        systemd=versions.systemd(about.get("systemd", "")),
        hostname=about.get("hostname", ""),
        machine_id=about.get("machine_id", ""),
        boot_id=about.get("boot_id", ""),
        boot_time=pairs.number(about.get("boot_time")),
        uid=pairs.number(about.get("uid")),
        memory_total_kb=pairs.number(about.get("MemTotal")),
        memory_available_kb=_available(about),
        selinux=about.get("selinux", "absent").lower() or "absent",
        restorecon=bool(about.get("restorecon")),
        ipv6=(pairs.number(about.get("ipv6_addresses")) or 0) > 0,
        addresses=tuple(Address(**row) for row in addresses.addresses(results["addresses"].stdout)),
        ssh_client=client,
        ssh_address=server,
        dovecot_version=version,
        dovecot_problem="" if absent or version else (said.stderr or said.stdout).strip()[-300:],
    )


def _available(about: Mapping[str, str]) -> int | None:
    known = pairs.number(about.get("MemAvailable"))
    if known is not None:
        return known
    parts = [pairs.number(about.get(name)) for name in ("MemFree", "Buffers", "Cached")]  # kernels before 3.14
    return None if None in parts else sum(part or 0 for part in parts)


query: Query[System] = Query("system", "Who and what the server is", _commands, read)
