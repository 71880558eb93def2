"""`runbook open`: stepping through the sections by hand, in JupyterLab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Annotated, Literal

import typer

from runbook.commands.run import Note, Records, Server, Ticket


def open_(
    server: Server,
    *,
    mode: Annotated[
        Literal["plan", "apply"], typer.Option(help="What the copies begin with; it can be set in each of them.")
    ] = "plan",
    section: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be given again.")
    ] = None,
    records: Records = None,
    ticket: Ticket = None,
    note: Note = None,
    browser: Annotated[bool, typer.Option(help="Open a browser; else the address is printed.")] = True,
    lab: Annotated[bool, typer.Option(help="Start JupyterLab; else only the record is prepared.")] = True,
) -> int:
    """Make a new record with a copy of each notebook in it, set to this server, and open JupyterLab there.

    The notebooks under notebooks/ stay clean. Run the cells one by one or all at once; `runbook close RECORD`
    then renders and seals what was done.

    Examples:
      runbook open mail.example.org
      runbook open mail.example.org --section 03 --mode apply --no-browser
    """
    from mailhost import sheet
    from runbook import engine, running, sections, servers

    root = servers.root()
    chosen = sections.pick(root, tuple(section or ()))
    path = servers.find(server)
    order = running.Order(path, sheet.load(path, base=root), (), mode=mode, ticket=ticket, note=note)
    record = running.start(order, (records or servers.records_folder()).expanduser().resolve())
    for one in chosen:
        engine.prepare(one.path, record / f"{one.name}.ipynb", order.parameters(record))
    typer.echo(f"record    {record}\nafterwards: runbook close {record}", err=True)
    if not lab:
        return 0
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={record}"]
    command += [] if browser else ["--no-browser"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    os.umask(0o077)  # what is saved in the record is nobody else's
    process = subprocess.Popen(command, cwd=record)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # else JupyterLab would outlive this command
    try:
        return process.wait() and 1
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return 0  # Ctrl-C is how JupyterLab is left
    finally:
        typer.echo(f"now close the record: runbook close {record}", err=True)
