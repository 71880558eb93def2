"""Red Hat's system-wide policy for cryptography: which it is, and what it lets OpenSSL speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import pairs
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

# What is in force, as `update-crypto-policies --show` tells it, without that tool's Python. Red Hat 8 wrote the
# protocols without the `TLS.` at first.
_POLICY = """\
[ -r "$1/state/current" ] || exit 0
echo "name=$(cat "$1/state/current")"
[ -r "$1/back-ends/opensslcnf.config" ] || exit 0
sed -n -e 's/^\\(TLS\\.\\)\\{0,1\\}\\(M[a-z]*Protocol\\) *= */\\2=/p' \\
    -e 's/.*@SECLEVEL=\\([0-9]\\).*/level=\\1/p' "$1/back-ends/opensslcnf.config"
"""
FOLDER = "/etc/crypto-policies"


@dataclass(frozen=True)
class CryptoPolicy(Fact):
    """The system's policy for cryptography; without one (Debian, Red Hat 7) all is empty.

    name      as in ``DEFAULT`` or ``DEFAULT:NO-SHA1``
    minimum, maximum   the TLS versions that it allows, as in ``TLSv1.2``; empty when not told
    level     OpenSSL's security level, which keys are measured by; None when not told
    """

    name: str = ""
    minimum: str = ""
    maximum: str = ""
    level: int | None = None

    @property
    def base(self) -> str:
        """The policy without its modules."""
        return self.name.partition(":")[0].upper()


def _commands(_sheet: Sheet, family: Family | None) -> Mapping[str, Command]:
    if family is None or family.name != "redhat":
        return {}
    return {"policy": sh(_POLICY, FOLDER)}


def read(results: Mapping[str, Result]) -> CryptoPolicy:
    """The policy in force. Raises CommandError when the server's shell could not tell."""
    if not results:
        return CryptoPolicy()
    told = pairs.pairs(results["policy"].checked().stdout)
    return CryptoPolicy(
        told.get("name", ""),
        told.get("MinProtocol", ""),
        told.get("MaxProtocol", ""),
        pairs.number(told.get("level")),
    )


query: Query[CryptoPolicy] = Query("crypto_policy", "The system's policy for cryptography", _commands, read)
