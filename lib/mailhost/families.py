"""What differs between the families of distributions, as frozen data.

A family is chosen once, from /etc/os-release; Dovecot's dialect is not chosen here but from
``dovecot --version``, since distributions change versions under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.errors import UnsupportedError


@dataclass(frozen=True)
class Family:
    """One family of distributions.

    packages      protocol to the packages that serve it ("core" is always needed)
    manager       ``apt`` or ``dnf`` (``yum`` where dnf is missing)
    starts_at_install   whether the package starts the service at once with stock settings
    certificate_dir, key_dir   where certificate and key of the server are kept
    """

    name: str
    packages: Mapping[str, tuple[str, ...]]
    manager: str
    starts_at_install: bool
    certificate_dir: str
    key_dir: str
    unit: str = "dovecot.service"

    def needed(self, protocols: list[str] | tuple[str, ...]) -> tuple[str, ...]:
        """The packages that serve these protocols, each once, in a stable order."""
        names = [*self.packages["core"], *(p for protocol in sorted(protocols) for p in self.packages[protocol])]
        return tuple(dict.fromkeys(names))


DEBIAN = Family(
    name="debian",
    packages={"core": ("dovecot-core",), "imap": ("dovecot-imapd",), "pop3": ("dovecot-pop3d",)},
    manager="apt",
    starts_at_install=True,
    certificate_dir="/etc/ssl/certs",
    key_dir="/etc/ssl/private",
)
REDHAT = Family(
    name="redhat",
    packages={"core": ("dovecot",), "imap": (), "pop3": ()},
    manager="dnf",
    starts_at_install=False,
    certificate_dir="/etc/pki/tls/certs",
    key_dir="/etc/pki/tls/private",
)

_BY_ID = {
    "debian": DEBIAN,
    "ubuntu": DEBIAN,
    "rhel": REDHAT,
    "centos": REDHAT,
    "fedora": REDHAT,
    "almalinux": REDHAT,
    "rocky": REDHAT,
}


def family_of(os_release: Mapping[str, str]) -> Family:
    """The family of a server, from the keys of its /etc/os-release.

    ``ID`` decides, then ``ID_LIKE`` from left to right. Raises UnsupportedError.
    """
    names = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    for name in names:
        if name in _BY_ID:
            return _BY_ID[name]
    shown = os_release.get("PRETTY_NAME") or os_release.get("ID") or "nothing in /etc/os-release"
    raise UnsupportedError(
        f"unknown distribution: {shown}",
        follows="package names, paths and tools cannot be known; nothing was changed.",
        remedy="run it on a Debian, Ubuntu, Red Hat, CentOS, Alma, Rocky or Fedora server.",
    )
