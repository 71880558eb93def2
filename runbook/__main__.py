"""The command `runbook`; also `python -m runbook`."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from mailhost.errors import MailhostError
from mailhost.redact import redact
from runbook import __version__
from runbook.commands import history, init, jupyter, lab, run, shape
from runbook.commands.shape import USAGE
from runbook.sections import UnknownSection

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)

app = shape.group(shape.Group)
_records = shape.group(history.ListByDefault)
_lab = shape.group(shape.Group)

for _group, _name, _command in (
    (app, "run", run.run),
    (app, "audit", run.audit),
    (app, "init", init.init),
    (app, "open", jupyter.open_),
    (app, "close", history.close),
    (app, "verify", history.verify),
    (_records, "list", history.listing),
    (_records, "add", history.add),
    (_lab, "up", lab.up),
    (_lab, "list", lab.listing),
    (_lab, "down", lab.down),
):
    _group.command(_name, cls=shape.Command)(_command)
app.add_typer(
    _records,
    name="records",
    short_help="List the records; attach a notebook to one.",
    help="List the records, or attach an executed notebook to one.\n\n"
    "  runbook records [SERVER] [--json]     list them, oldest first (`runbook records list --help`)\n"
    "  runbook records add RECORD FILE       attach what plain papermill wrote",
)
app.add_typer(_lab, name="lab", help="Throw-away servers to try the runbook on.")


def _version(asked: bool) -> None:  # noqa: FBT001  # typer calls it so
    if asked:
        typer.echo(f"dovecot-runbook {__version__}")
        raise typer.Exit


@app.callback()
def runbook(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take a server from nothing to a Dovecot that refuses insecure logins, and keep the record that proves it.

    Begin with:
      runbook lab up debian12              a throw-away server
      runbook run debian12                 what would change on it
      runbook run debian12 --mode apply    make it so
    or with a server of your own:
      runbook init mail.example.org        a sheet, to be filled in
      runbook run mail.example.org

    Exit codes:
      0 as wanted   2 changes are pending (plan)   1 anything else   64 wrong usage
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; no traceback reaches the user."""
    code = 1
    try:
        code = int(app(args=arguments, prog_name="runbook", standalone_mode=False) or 0)
    except UnknownSection as error:
        code = _told(error, USAGE)
    except MailhostError as error:
        _told(error, 1)
    except (KeyboardInterrupt, typer.Abort):
        _told("stopped before anything was done", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end
    except OSError as error:
        code = _told(_full_or_shut(error), 1) if error.errno in _OF_THE_DISK else _unexpected(error)
    except Exception as error:  # noqa: BLE001  # the last line of defence
        code = shape.used_wrongly(error) or _unexpected(error)
    return code


def _full_or_shut(error: OSError) -> str:
    return (
        f"{error.filename or 'a file'} cannot be written: {error.strerror}\n"
        "  It follows: what was done on the server so far is in the transcript, and the record is not closed.\n"
        "  To do: make room or set the rights right; then `runbook close RECORD` seals it (`runbook records` lists it)."
    )


def _told(what: object, code: int) -> int:
    typer.echo(f"runbook: {redact(str(what))}", err=True)
    return code


def _unexpected(error: Exception) -> int:
    """A defect of ours in one line, with where the rest is. The lab's errors are meant for people as they stand."""
    if type(error).__name__ == "LabError":
        return _told(error, 1)
    descriptor, path = tempfile.mkstemp(prefix="runbook-traceback-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(redact(traceback.format_exc()))
    first = (str(error).splitlines() or [""])[0]
    return _told(f"a defect of the runbook: {type(error).__name__}: {first}; the traceback is in {path}", 1)


if __name__ == "__main__":
    sys.exit(main())
