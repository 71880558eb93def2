"""What else a server may be like: another firewall, no IPv6, another way in. Data, laid over a started server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook.lab.errors import LabError

DEBIAN = ("debian11", "debian12", "debian13")

# Someone who may become root: what most rented servers have instead of a login of root.
_ADMIN = """\
set -e
useradd --create-home --shell /bin/sh admin
install -d -m 0700 -o admin -g admin /home/admin/.ssh
install -m 0600 -o admin -g admin /root/.ssh/authorized_keys /home/admin/.ssh/authorized_keys
rm /root/.ssh/authorized_keys
umask 337
"""

# A firewalld that is stopped before it listens leaves its rules behind, with nothing on the server to show them.
_NO_FIREWALL = """\
for _ in $(seq 300); do firewall-cmd -q --state && break; sleep 0.1; done
dpkg --purge firewalld net-tools
"""

# In a mount namespace of its own: for the server itself the kernel's settings stay read-only.
_NO_IPV6 = """\
unshare --mount sh -c 'mount -o remount,bind,rw /proc/sys && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'
"""
# Its answers to the machine under it go nowhere; the next server on the network reaches it as before.
CUT_OFF = "ip route add blackhole $1/32 && ip -6 route add blackhole $2/128"


@dataclass(frozen=True)
class Variant:
    """One way to differ from the plain server.

    about      what a person is told
    systems    on which systems it can be had; empty means all
    image      the recipe that stands on the system's own one, as in ``ufw`` for ``debian12-ufw``
    script     for the server's ``sh``, as root, once it is up; ``$1`` is a word that may serve as a password
    privileged whether the script needs rights over the kernel's settings that the server itself does not have
    sheet      laid over the sheet; ``{folder}`` is the server's own folder
    ipv6       whether the server has IPv6
    jump       whether it is reached by another server alone
    """

    about: str
    systems: tuple[str, ...] = ()
    image: str = ""
    script: str = ""
    privileged: bool = False
    sheet: Mapping[str, Any] = field(default_factory=dict)
    ipv6: bool = True
    jump: bool = False


VARIANTS: dict[str, Variant] = {
    "ufw": Variant(
        "ufw instead of firewalld",
        systems=("debian12",),
        image="ufw",
        script="ufw allow 22/tcp >/dev/null && ufw --force enable >/dev/null",
    ),
    "bare": Variant("no firewall at all, and ss instead of netstat", DEBIAN, script=_NO_FIREWALL),
    "no-ipv6": Variant("IPv6 turned off", script=_NO_IPV6, privileged=True, ipv6=False),
    "sudo": Variant(
        "SSH as a user who becomes root by sudo, without a password",
        script=f"{_ADMIN}echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin",
        sheet={"ssh": {"user": "admin"}},
    ),
    "sudo-password": Variant(
        "SSH as a user who becomes root by sudo, with a password",
        script=f"{_ADMIN}echo 'admin ALL=(ALL) ALL' >/etc/sudoers.d/admin; echo \"admin:$1\" | chpasswd",
        sheet={"ssh": {"user": "admin", "sudo_password": "file:{folder}/sudo-password"}},
    ),
    "stock": Variant(
        "Dovecot installed, as its package leaves it, and no firewall on Debian",
        ("debian12", "debian13", "el"),
        image="stock",
    ),
    "next": Variant("the next Debian waits for `sh /root/upgrade`", ("debian12",), image="next"),
    "jump": Variant("reached by a jump host alone", sheet={"probe_from": "jump"}, jump=True),
}

PLAIN = Variant("as the distribution has it")


def known(name: str | None, system: str) -> Variant:
    """The variant ``name`` for a server of ``system``; none is a plain one. Raises LabError."""
    if name is None:
        return PLAIN
    if name not in VARIANTS:
        raise LabError(f"the lab has no variant {name!r}; it has: {', '.join(VARIANTS)}.")
    chosen = VARIANTS[name]
    if chosen.systems and system not in chosen.systems:
        raise LabError(f"the variant {name} can be had on {', '.join(chosen.systems)}, not on {system}.")
    return chosen


def filled(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A variant's part of the sheet, with the server's folder in its paths."""
    return {
        key: filled(value, folder)
        if isinstance(value, Mapping)
        else value.replace("{folder}", str(folder))
        if isinstance(value, str)
        else value
        for key, value in values.items()
    }
