"""Throw-away servers: up, list, restart, down."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runbook.lab import authority, differing, images, network, podman, resolver, sheets, variants
from runbook.lab.errors import LabError
from runbook.lab.images import SYSTEMS, Progress
from runbook.lab.place import JOURNAL, LABEL, Place, here
from runbook.lab.requirements import available
from runbook.lab.server import Server, known_hosts, let_in, wait, write_hosts

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]|[a-z]")
_RESERVED = {"resolver"}  # the lab's own helper
_JUMP = "-jump"  # a server's jump host is named after it, and goes with it
_START_SECONDS = 60.0


def up(
    name: str,
    system: str | None = None,
    *,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Server:
    """Start a fresh server without Dovecot, with its sheet, certificate and known_hosts entry.

    ``system`` is one of ``SYSTEMS``; left out it is ``name`` where that is one, else Debian 12. ``variant`` is one of
    ``VARIANTS``, for a server that differs in one thing. ``overrides`` are laid over the sheet. Images are built first
    where they are missing (minutes, once); a start takes 2 s.
    """
    chosen = system or (name if name in SYSTEMS else "debian12")
    _check(name, chosen)
    differs = variants.known(variant, chosen)
    tell = progress or (lambda _: None)
    place = here()
    image = images.ensure(f"{chosen}-{differs.image}" if differs.image else chosen, progress)
    images.ensure("resolver", progress)
    begin = time.monotonic()
    tell(f"starting {name} ({SYSTEMS[chosen]}{f', {differs.about}' if variant else ''})")
    with place.lock():
        net = network.ensure(place)
        resolver.ensure(place, net)
        server = _start(place, net, image, _enlist(place, net, name, chosen))
    try:
        authority.issue([server.hostname], place=place).write(server.folder / "tls")
        values = sheets.sheet(name, server.folder, server.address, net.resolver)
        resolver.say(place, name, [server.hostname], [server.address, *([server.address6] if differs.ipv6 else [])])
        let_in(server)
        wait(server)
        server.known_hosts.write_text(known_hosts(server))
        values = sheets.merged(values, differing.lay(server, differs))
        if differs.jump:
            values = sheets.merged(values, _behind(server, net))
        sheets.write(server.sheet, sheets.merged(values, overrides or {}))
        _note(server, time.monotonic() - begin)
    except BaseException:
        # Nothing half-made stays: the next try would find its name taken.
        _remove(place, name)
        raise
    return server


def _behind(server: Server, net: network.Network) -> dict[str, Any]:
    """Start the server's jump host, and let nobody else reach it; returns what the sheet says about that."""
    jump = up(f"{server.name}{_JUMP}", "debian12")
    jump.run("cat >>/root/.ssh/authorized_keys", stdin=sheets.login_line(server.key))
    with server.known_hosts.open("a") as file:
        file.write(jump.known_hosts.read_text())
    differing.cut_off(server, net.gateways)
    return {"ssh": {"jump": f"root@{jump.address}"}}


def servers() -> list[Server]:
    """The servers of this checkout's lab that exist, by name."""
    place = here()
    existing = _containers(place)
    found = (_load(place, folder.name) for folder in sorted(place.servers.glob("*")))
    return [server for server in found if server is not None and server.container in existing]


def find(name: str) -> Server | None:
    """The lab's server ``name``, or None."""
    return next((server for server in servers() if server.name == name), None)


def restart(server: Server) -> None:
    """Restart the whole server, as a reboot does; its addresses and host keys stay."""
    podman.call("restart", "--time", "10", server.container)
    write_hosts(server)
    wait(server)


def down(names: Iterable[str] | None = None) -> list[str]:
    """Remove servers, or with no names everything of this lab; returns the names removed.

    With the last server the resolver and the network go as well; the lab's authority stays for the next one.
    Only built images stay. Containers and networks without this lab's own label are never touched.
    """
    place = here()
    if names is None:
        return clear(place)
    known = {server.name for server in servers()}
    wanted = list(names)
    if missing := [name for name in wanted if name not in known]:
        raise LabError(f"this lab has no server {', '.join(missing)}; it has: {', '.join(sorted(known)) or 'none'}.")
    for name in wanted:
        _remove(place, name)
    with place.lock():
        if _containers(place) <= {place.container("resolver")}:  # nobody is left who needs it
            podman.remove(*_containers(place))
            network.remove(place)
    return wanted


def clear(place: Place) -> list[str]:
    """Remove the servers, the resolver and the network of the lab at ``place``; returns the servers' names."""
    with place.lock():
        removed = sorted(_containers(place))
        podman.remove(*removed)
        network.remove(place)
        for folder in (place.servers, place.names, place.authority):
            shutil.rmtree(folder, ignore_errors=True)
        (place.root / "next-address").unlink(missing_ok=True)
    prefix = place.container("")
    return [name.removeprefix(prefix) for name in removed if name != place.container("resolver")]


def _check(name: str, system: str) -> None:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise LabError(f"{name!r} cannot name a lab server: use up to 32 of a-z, 0-9 and -, beginning with a letter.")
    if system not in SYSTEMS:
        raise LabError(f"the lab has no system {system!r}; it has: {', '.join(SYSTEMS)}.")
    if reason := available():
        raise LabError(reason)


def _enlist(place: Place, net: network.Network, name: str, system: str) -> tuple[Server, str]:
    """Reserve a name and an address; with the server comes its hardware address."""
    folder = place.servers / name
    if place.container(name) in _containers(place):
        raise LabError(f"the lab has a server {name} already: remove it with `runbook lab down {name}`, or use it.")
    shutil.rmtree(folder, ignore_errors=True)
    taken = {int(file["address"].rsplit(".", 1)[1]) for file in _enlisted(place)}
    address, address6, hardware = net.addresses(network.reserve(place, taken))
    folder.mkdir(parents=True, mode=0o700)
    server = Server(
        name=name, system=system, address=address, address6=address6, sheet=folder / "sheet.yaml",
        known_hosts=folder / "known_hosts", ca=folder / "tls" / "root.pem", container=place.container(name),
    )  # fmt: skip
    values = {key: str(value) for key, value in asdict(server).items()}
    (folder / "server.json").write_text(json.dumps(values, indent=1) + "\n")
    return server, hardware


def _start(place: Place, net: network.Network, image: str, enlisted: tuple[Server, str]) -> Server:
    server, hardware = enlisted
    podman.call(
        "run", "--detach", "--name", server.container, "--hostname", server.hostname,
        "--label", f"{LABEL}={place.mark}", "--network", net.name, "--ip", server.address, "--ip6", server.address6,
        "--mac-address", hardware, "--dns", net.resolver, "--no-hosts", "--systemd=always", "--cap-add", "NET_ADMIN",
        *podman.limits(), image,
    )  # fmt: skip
    return server


def _note(server: Server, seconds: float) -> None:
    if JOURNAL in os.environ:
        with Path(os.environ[JOURNAL]).open("a") as journal:
            journal.write(f"{seconds:.1f} {server.name} {server.system}\n")


def _remove(place: Place, name: str) -> None:
    for each in (name, f"{name}{_JUMP}"):
        podman.remove(place.container(each))
        resolver.unsay(place, each)
        shutil.rmtree(place.servers / each, ignore_errors=True)


def _containers(place: Place) -> set[str]:
    out = podman.call("ps", "--all", "--filter", f"label={LABEL}={place.mark}", "--format", "{{.Names}}")
    return set(out.split())


def _enlisted(place: Place) -> list[dict[str, str]]:
    return [json.loads(file.read_text()) for file in place.servers.glob("*/server.json")]


def _load(place: Place, name: str) -> Server | None:
    file = place.servers / name / "server.json"
    if not file.exists():
        return None
    values: dict[str, Any] = json.loads(file.read_text())
    values.update({key: Path(values[key]) for key in ("sheet", "known_hosts", "ca")})
    return Server(**values)
