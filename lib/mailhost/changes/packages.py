"""Packages, by the server's own package manager."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mailhost.changes.base import Change
from mailhost.families import Family
from mailhost.host import Command, sh

_GUARD_APT = """\
for name; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ]; then
        echo "$name is installed by now" >&2
        exit 75
    fi
done
"""
_GUARD_RPM = """\
for name; do
    if rpm -q "$name" >/dev/null 2>&1; then echo "$name is installed by now" >&2; exit 75; fi
done
"""

# Debian's package starts the service at once with its stock settings: masked for so long, it stays down. Taken off
# by trap, since an install that fails must not leave a mask behind. Only our own mask is taken off: a mask
# under /etc is somebody's decision. Old lists of packages are renewed only when the install needs it.
_APT = """\
unit=$1
shift
export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 APT_LISTCHANGES_FRONTEND=none NEEDRESTART_MODE=l
install_all() {
    apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \\
        -o DPkg::Lock::Timeout=120 install "$@"
}
if [ -n "$unit" ]; then
    trap 'systemctl unmask --runtime "$unit"' EXIT
    trap 'exit 143' HUP INT TERM
    systemctl mask --runtime "$unit" || exit 1
fi
install_all "$@" || { apt-get -q update && install_all "$@"; } || exit 1
for name; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name")" != installed ]; then
        echo "$name is not installed although apt-get said so" >&2
        exit 1
    fi
done
"""
_RPM = """\
tool=dnf
command -v dnf >/dev/null || tool=yum
"$tool" -y install "$@" || exit 1
for name; do rpm -q "$name" || exit 1; done
"""


@dataclass(frozen=True)
class InstallPackages(Change):
    """Install packages that are not there.

    keep_stopped   the unit that must not start by itself; empty when it may, or runs already
    """

    why_not_undone: ClassVar[str] = (
        "packages stay installed: removing them could take files of yours along. The service is not started by them."
    )

    family: Family
    names: tuple[str, ...]
    keep_stopped: str = ""

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"install {', '.join(self.names)}"

    def diff(self) -> str:
        """One line a package; what they need comes with them."""
        return "\n".join(f"+ package {name}" for name in self.names)

    def commands(self) -> tuple[Command, ...]:
        """Guard, then install and look."""
        if self.family.manager == "apt":
            return sh(_GUARD_APT, *self.names), sh(_APT, self.keep_stopped, *self.names, timeout=900)
        return sh(_GUARD_RPM, *self.names), sh(_RPM, *self.names, timeout=900)
