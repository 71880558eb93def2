"""`runbook lab`: throw-away servers of this checkout's lab."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

_KEYS = ("name", "address", "address6", "sheet", "known_hosts", "ca")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a server, one a line, and nothing else.")]


def up(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="What to call them: a-z, 0-9 and dashes.")],
    system: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="What they run; else the name where it is one, else debian12.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(metavar="VARIANT", help="In what they differ from a plain server of that system.")
    ] = None,
    *,
    as_json: Json = False,
) -> int:
    """Start fresh servers without Dovecot, each with its sheet, certificate and known_hosts entry.

    They are podman containers with systemd, sshd and a package manager, at addresses of their own. The first start
    builds images (minutes); later ones take seconds. `el` is a stand-in for Red Hat's family. Systems: debian11,
    debian12, debian13, el. Variants: ufw, bare (no firewall, no netstat), no-ipv6, sudo, sudo-password, jump,
    stock (Dovecot is installed already, and no firewall on Debian), next (Debian 13's Dovecot waits for an upgrade).

    Examples:
      runbook lab up debian12
      runbook lab up web1 web2 --system el
      runbook lab up mail3 --system debian12 --variant ufw
      runbook lab up debian12 --json | jq -r .address
    """
    from runbook import lab

    for name in names:
        server = lab.up(name, system, variant=variant, progress=lambda text: typer.echo(text, err=True))
        _tell(server, as_json=as_json)
    return 0


def listing(*, as_json: Json = False) -> int:
    """List the servers of this checkout's lab.

    Example:
      runbook lab list
    """
    from runbook import lab

    known = lab.servers()
    for server in known:
        _tell(server, as_json=as_json)
    if not known and not as_json:
        typer.echo("this lab has no server; `runbook lab up debian12` starts one", err=True)
    return 0


def down(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Which; all of them when none is named.")
    ] = None,
) -> int:
    """Remove servers of this checkout's lab; with no name all of them, their network and their files.

    Only built images stay. Nothing of another checkout's lab is touched.

    Examples:
      runbook lab down web1
      runbook lab down
    """
    from runbook import lab

    for name in lab.down(names or None):
        typer.echo(f"removed {name}")
    return 0


def _tell(server: Any, *, as_json: bool) -> None:
    values = {key: str(getattr(server, key)) for key in _KEYS}
    if as_json:
        typer.echo(json.dumps(values))
    else:
        typer.echo(f"{server.name:<16} {server.system:<10} {server.address:<15} {server.address6:<22} {server.sheet}")
