"""The lab's name server: knows the servers' names on IPv4 and IPv6 and passes every other question on."""

from __future__ import annotations

from runbook.lab import images, podman
from runbook.lab.images import Progress
from runbook.lab.network import Network
from runbook.lab.place import DOMAIN, LABEL, Place

_NAME = "resolver"


def ensure(place: Place, network: Network, progress: Progress | None = None) -> None:
    """Start the lab's resolver where it does not run. Call it under the lab's lock."""
    container = place.container(_NAME)
    state = podman.attempt("container", "inspect", "--format", "{{.State.Running}}", container)
    if state.out.strip() == "true":
        return
    podman.remove(container)
    place.names.mkdir(parents=True, exist_ok=True)
    podman.call(
        "run", "--detach", "--name", container, "--label", f"{LABEL}={place.mark}",
        "--network", network.name, "--ip", network.resolver, "--ip6", network.resolver6, *podman.limits(),
        "--volume", f"{place.names}:/names:ro,z", images.ensure("resolver", progress),
        "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--user=root", "--no-hosts", "--hostsdir=/names",
        f"--local=/{DOMAIN}/", "--cache-size=0",
    )  # fmt: skip


def say(place: Place, key: str, names: list[str], addresses: list[str]) -> None:
    """Let the resolver answer ``addresses`` (either family) for ``names``; ``key`` is what takes it back."""
    place.names.mkdir(parents=True, exist_ok=True)
    (place.names / key).write_text("".join(f"{address} {' '.join(names)}\n" for address in addresses))
    _read_again(place)


def unsay(place: Place, key: str) -> None:
    """Take back what was said under ``key``."""
    (place.names / key).unlink(missing_ok=True)
    _read_again(place)


def _read_again(place: Place) -> None:
    # dnsmasq notices new files by itself, but only after the write; a signal makes the answer true now.
    podman.attempt("kill", "--signal", "HUP", place.container(_NAME))
