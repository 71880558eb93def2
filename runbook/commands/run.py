"""`runbook run` and `runbook audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

Server = Annotated[
    str,
    typer.Argument(
        help="A sheet's path, a name under parameters/, or a server of this checkout's lab.", metavar="SERVER"
    ),
]
Records = Annotated[
    Path | None, typer.Option("--records", metavar="DIR", help="Keep the record below DIR, not records/.")
]
Ticket = Annotated[str | None, typer.Option(metavar="ID", help="The change's ticket, kept in the record.")]
Note = Annotated[str | None, typer.Option(metavar="TEXT", help="A remark, kept in the record.")]
Thorough = Annotated[
    bool,
    typer.Option(
        "--thorough",
        help="Try all that must be refused by every way in: more failed logins than the sheet says.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the summary as JSON to standard output, and nothing else there.")
]


def run(
    server: Server,
    *,
    mode: Annotated[
        Literal["plan", "apply"], typer.Option(help="plan shows every change and makes none; apply makes them.")
    ] = "plan",
    section: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this one; may be given again. 03_configure, 03 or configure."),
    ] = None,
    records: Records = None,
    ticket: Ticket = None,
    note: Note = None,
    thorough: Thorough = False,
    as_json: Json = False,
) -> int:
    """Run the runbook on a server: sections 01 to 06 in order, or those that are named.

    Plan is the default: it reads, shows every change as a diff and makes none. A no-go in preflight stops the run
    before anything is touched; in apply mode a failed section stops the ones after it. Every run leaves a record,
    also one that fails or is interrupted.

    Exit codes: 0 as wanted, 2 changes are pending (plan), 1 anything else, 64 wrong usage.

    Examples:
      runbook run mail.example.org
      runbook run mail.example.org --mode apply --ticket CHG-1234 --note "new certificate"
      runbook run mail.example.org --section configure --section 05
      runbook run parameters/mail.example.org.yaml --json | jq .verdict
    """
    return _go(
        server,
        tuple(section or ()),
        mode=mode,
        records=records,
        ticket=ticket,
        note=note,
        as_json=as_json,
        thorough=thorough,
    )


def audit(
    server: Server,
    *,
    canary: Annotated[
        bool, typer.Option("--canary", help="Test logins with a temporary account, made and removed on the server.")
    ] = False,
    records: Records = None,
    ticket: Ticket = None,
    note: Note = None,
    thorough: Thorough = False,
    as_json: Json = False,
) -> int:
    """Check a server as it stands, read-only: section 06.

    Says what differs from the sheet and what changed since the last record. Logins are tested with the sheet's
    test_account; without one they are skipped, and the verdict says so. With --canary a temporary account is made on
    the server for them, removed at the end, and by the server itself should the audit die.

    Exit codes: 0 as wanted, 1 not as wanted or not known, 64 wrong usage.

    Examples:
      runbook audit mail.example.org
      runbook audit mail.example.org --canary --json
      runbook audit mail.example.org --canary --thorough
    """
    return _go(
        server,
        ("06_audit",),
        mode="plan",
        records=records,
        ticket=ticket,
        note=note,
        as_json=as_json,
        canary=canary,
        thorough=thorough,
    )


def _go(
    server: str,
    names: tuple[str, ...],
    *,
    mode: str,
    records: Path | None,
    ticket: str | None,
    note: str | None,
    as_json: bool,
    canary: bool = False,
    thorough: bool = False,
) -> int:
    from rich.console import Console

    from mailhost import sheet
    from mailhost.errors import MailhostError
    from runbook import record as record_of
    from runbook import running, sections, servers, summary
    from runbook.progress import Progress

    root = servers.root()
    chosen = sections.pick(root, names)
    path = servers.find(server)
    order = running.Order(
        sheet=path,
        want=sheet.load(path, base=root),  # a wrong sheet is told here, before any record or connection
        sections=chosen,
        mode=mode,
        ticket=ticket,
        note=note,
        canary=canary,
        thorough=thorough,
        alone=chosen[0].name if len(chosen) == 1 else None,
    )
    running.ask(order)  # and so is a secret that nobody is there to type
    record = running.start(order, (records or servers.records_folder()).expanduser().resolve())
    unclosed: MailhostError | None = None
    with Progress() as progress:
        try:
            running.run(order, record, progress)
        except MailhostError as error:
            unclosed = error
    known = record_of.load(record)
    if as_json:
        typer.echo(json.dumps(summary.summary(known), ensure_ascii=False))
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=120)
        summary.show(known, console)
    if unclosed is not None:
        raise unclosed
    return summary.exit_code(known.verdict)
