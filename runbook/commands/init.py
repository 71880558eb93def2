"""`runbook init`: an annotated sheet for a new server."""

from __future__ import annotations

import re
from typing import Annotated

import typer

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
EXAMPLE = "mail.example.org"  # the server of parameters/example.yaml


def init(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="The server's name, as SSH and its users know it.")],
) -> int:
    """Write an annotated sheet for a new server: parameters/SERVER.yaml.

    Every key is explained in it; those that have a default stand there as comments. A sheet that exists is never
    overwritten.

    Example:
      runbook init mail.example.org
      runbook run mail.example.org
    """
    from mailhost.errors import SheetError
    from runbook import servers
    from runbook.record.folder import write

    if not _NAME.fullmatch(server) or server.endswith((".yaml", ".yml")) or server in servers.NO_SERVERS:
        raise SheetError(
            f"{server!r} cannot name a server's sheet",
            follows="nothing was written.",
            remedy="give the server's host name: letters, digits, dots and dashes.",
        )
    folder = servers.root() / "parameters"
    target = folder / f"{server}.yaml"
    if target.exists():
        raise SheetError(
            f"{target} exists already", follows="nothing was written.", remedy="edit it, or remove it first."
        )
    write(target, (folder / "example.yaml").read_text(encoding="utf-8").replace(EXAMPLE, server))
    typer.echo(
        f"wrote {target}\nNow correct what is in it (the files under tls: above all), then: runbook run {server}"
    )
    return 0
