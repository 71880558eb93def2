"""The lab's own network: addresses of both families that this machine reaches and nobody else.

``10.89.X.0/24`` and ``fd00:89:X::/64``; X is the first one free, looked for from the lab's own hash on so that
two labs rarely ask for the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from runbook.lab import podman
from runbook.lab.errors import LabError
from runbook.lab.place import LABEL, Place

_FIRST_SERVER = 10
_LAST_SERVER = 250


@dataclass(frozen=True)
class Network:
    """A podman network and how its addresses are counted."""

    name: str
    number: int

    @property
    def resolver(self) -> str:
        """The address of the lab's name server."""
        return f"10.89.{self.number}.2"

    @property
    def resolver6(self) -> str:
        """Its IPv6 address: one that podman chooses might be the next server's."""
        return f"fd00:89:{self.number}::2"

    @property
    def gateways(self) -> tuple[str, str]:
        """The addresses of the machine under the lab, of both families."""
        return f"10.89.{self.number}.1", f"fd00:89:{self.number}::1"

    def addresses(self, place: int) -> tuple[str, str, str]:
        """The IPv4, IPv6 and hardware address of the server at ``place``.

        The hardware address is ours too: with a random one this machine looks half a minute for a restarted server
        where it used to be.
        """
        return (
            f"10.89.{self.number}.{place}",
            f"fd00:89:{self.number}::{place}",
            f"02:89:{self.number:02x}:00:00:{place:02x}",
        )


def ensure(place: Place) -> Network:
    """The lab's network, made where it is missing. Call it under the lab's lock."""
    found = find(place)
    if found is not None:
        return found
    start = int(place.mark, 16)
    refusal = ""
    for step in range(190):
        number = 64 + (start + step) % 190
        rc, _, refusal = podman.attempt(
            "network", "create", "--disable-dns", "--ipv6", "--label", f"{LABEL}={place.mark}",
            "--subnet", f"10.89.{number}.0/24", "--subnet", f"fd00:89:{number}::/64", place.network,
        )  # fmt: skip
        if rc == 0:
            return Network(place.network, number)
        # Another lab may have made its network since we looked; anything but a taken subnet will not get better.
        if "already used" not in refusal and "already being used" not in refusal:
            break
    raise LabError(f"podman could not make the lab's network {place.network}:\n{refusal.strip()}")


def find(place: Place) -> Network | None:
    """The lab's network if there is one."""
    rc, out, _ = podman.attempt("network", "inspect", place.network)
    if rc != 0:
        return None
    # netavark writes "subnet" at the top, the older CNI inside a plug-in's "ipam": only the text is common to both.
    text = json.dumps(json.loads(out))
    number = int(text.split('"10.89.')[1].split(".")[0])
    return Network(place.network, number)


def remove(place: Place) -> None:
    """Remove the lab's network."""
    if find(place) is not None:
        podman.call("network", "rm", place.network)


def reserve(place: Place, taken: set[int]) -> int:
    """The place of one more server on the network. Call it under the lab's lock.

    Places are counted on and on, so that a new server does not get the address of one just removed, which clients
    may still know by its old host key.
    """
    counter = place.root / "next-address"
    span = _LAST_SERVER - _FIRST_SERVER + 1
    start = int(counter.read_text()) if counter.exists() else _FIRST_SERVER
    for step in range(span):
        candidate = _FIRST_SERVER + (start - _FIRST_SERVER + step) % span
        if candidate not in taken:
            counter.write_text(f"{candidate + 1}\n")
            return candidate
    raise LabError(f"all {span} addresses of this lab are taken: remove servers with `runbook lab down NAME`.")
