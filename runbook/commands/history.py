"""`runbook records`, `runbook records add`, `runbook verify` and `runbook close`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from runbook.commands.shape import Group

Record = Annotated[Path, typer.Argument(metavar="RECORD", help="A record's folder, as `runbook records` lists it.")]


class ListByDefault(Group):
    """`runbook records [SERVER]` lists; only `add` is a word of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the word `list` in where none of ours stands."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def listing(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="Only this server's.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    records: Annotated[
        Path | None, typer.Option("--records", metavar="DIR", help="Where they lie, if not records/.")
    ] = None,
) -> int:
    """List the records, oldest first: verdict, state, when, who, digest.

    States: closed (sealed), open (a run works on it), interrupted (neither: its run ended before it was sealed).

    Examples:
      runbook records
      runbook records mail.example.org --json | jq '.[-1].record'
    """
    from runbook import record as record_of
    from runbook import servers

    folder = (records or servers.records_folder()).expanduser().resolve()
    known = record_of.listing(folder, server and servers.name_of(server))
    if as_json:
        typer.echo(json.dumps([_row(record) for record in known], ensure_ascii=False))
        return 0
    if not known:
        typer.echo(f"no records{f' of {server}' if server else ''} under {folder}", err=True)
        return 0
    rows = [["when", "server", "mode", "verdict", "changes", "state", "who", "digest", "record"]]
    for row in map(_row, known):
        when = f"{str(row['started'])[:19].replace('T', ' ')}Z"
        rows.append(
            [
                when, row["server"], row["mode"], row["verdict"], str(row["changes"]), row["state"],
                f"{row['user']}@{row['machine']}", row["digest"][:12] or "-", row["record"],
            ]
        )  # fmt: skip
    widths = [max(len(line[i]) for line in rows) for i in range(len(rows[0]))]
    for line in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def add(
    record: Record,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The executed notebook that papermill wrote.")],
) -> int:
    """Attach an executed notebook to the record that its outputs name, and seal the record anew.

    Plain papermill writes the executed notebook where it is told to; transcript and manifest lie in the record already.

    Example:
      papermill notebooks/03_configure.ipynb /tmp/out.ipynb -p server mail.example.org
      runbook records add records/mail.example.org/2026-11-23T101500Z-03_configure /tmp/out.ipynb
    """
    from runbook import record as record_of

    folder = find(record)
    digest = record_of.add(folder, file)
    typer.echo(f"added {file.name} to {folder}\ndigest    {digest}")
    return 0


def verify(
    record: Record,
    digest: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="The manifest's digest that the run printed: proves the manifest too."),
    ] = None,
) -> int:
    """Check that a record is as it was when it was closed.

    Tells each changed, missing or added file, an edited manifest and unsafe modes, and exits 1 then. Without --digest a
    manifest that was edited together with manifest.sha256 looks true: keep the digest that the run printed elsewhere.

    Examples:
      runbook verify records/mail.example.org/2026-11-23T101500Z
      runbook verify records/mail.example.org/2026-11-23T101500Z --digest 5f70bf18...
    """
    from runbook import record as record_of

    folder = find(record)
    problems = record_of.verify(folder, digest)
    for problem in problems:
        typer.echo(f"{folder}: {problem}", err=True)
    if problems:
        typer.echo(f"NOT as it was when it was closed: {len(problems)} problems", err=True)
        return 1
    told = "its digest is the given one" if digest else "compare the digest with the one that the run printed"
    typer.echo(f"as it was when it was closed; {told}\ndigest    {record_of.digest_of(folder)}")
    return 0


def close(record: Record) -> int:
    """Close a record: render, hash and write-protect it, and print its manifest's digest.

    Needed after `runbook open`, and for a record whose run died. A closed one is left as it is.

    Example:
      runbook close records/mail.example.org/2026-11-23T101500Z
    """
    from runbook import record as record_of

    folder = find(record)
    digest = record_of.close(folder)
    known = record_of.load(folder)
    typer.echo(f"verdict   {known.verdict}\nrecord    {folder}\nhtml      {folder / 'index.html'}\ndigest    {digest}")
    return 0


def find(record: Path) -> Path:
    """A record's folder, from the working directory, the root or the folder of records. Raises MailhostError."""
    from mailhost.errors import MailhostError
    from runbook import servers
    from runbook.record.folder import RUN

    places = [Path.cwd(), servers.root(), servers.records_folder()]
    for place in places:
        folder = (place / record.expanduser()).resolve()
        if (folder / RUN).exists() or (folder / "manifest.json").exists():
            return folder
    raise MailhostError(
        f"{record} is no record's folder", follows="nothing was looked at.", remedy="`runbook records` lists them."
    )


def _row(record: Any) -> dict[str, Any]:
    run = record.run
    return {
        "server": run["server"],
        "record": str(record.path),
        "run": run["id"],
        "started": run["started"],
        "mode": run["mode"],
        "verdict": record.verdict,
        "state": record.state,
        "changes": record.changes,
        "sections": [section.name for section in record.sections],
        "user": run["user"],
        "machine": run["machine"],
        "ticket": run["ticket"],
        "note": run["note"],
        "digest": record.digest,
    }
