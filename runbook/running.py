"""A run: sections one after another on one server, until one of them stops it; the record is closed in any case."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailhost import prompt
from mailhost.redact import redact
from mailhost.sheet import Sheet, secret
from mailhost.transcript import now
from runbook import kernel
from runbook import record as records
from runbook.record.folder import read_json, write
from runbook.record.sections import path_of
from runbook.sections import AUDIT, Section

if TYPE_CHECKING:
    from runbook.engine import Cell, Executed

TRACEBACK = "traceback.txt"
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOGS_IN = (4, 5, 7)  # sections that log in: in apply mode with a temporary account, in plan mode with the sheet's
_APPLIES = range(2, 6)  # sections whose failure stops the later ones, since these build on it


@dataclass(frozen=True)
class Order:
    """What was asked for: this sheet, these sections, in this mode."""

    sheet: Path
    want: Sheet
    sections: Sequence[Section]
    mode: str = "plan"
    ticket: str | None = None
    note: str | None = None
    canary: bool = False
    thorough: bool = False
    alone: str | None = None

    def parameters(self, record: Path) -> dict[str, Any]:
        """What every notebook of the run is given."""
        given: dict[str, Any] = {"server": str(self.sheet), "mode": self.mode, "record": str(record)}
        given |= {key: value for key, value in (("ticket", self.ticket), ("note", self.note)) if value is not None}
        return given | {name: True for name in ("canary", "thorough") if getattr(self, name)}

    def prompts(self) -> Iterator[tuple[str, str]]:
        """What a person has to type for this run, and whose login it is."""
        ssh, account = self.want.ssh, self.want.test_account
        if ssh.sudo_password == prompt.REFERENCE and ssh.user != "root":
            yield ssh.sudo_word, ""
        if account is not None and account.password == prompt.REFERENCE and self._logs_in:
            yield account.word, account.name

    @property
    def _logs_in(self) -> bool:
        """Whether a section of the run logs in with the sheet's test account."""
        numbers = {section.number for section in self.sections}
        return (AUDIT in numbers and not self.canary) or (self.mode == "plan" and not numbers.isdisjoint(LOGS_IN))


class Watcher:
    """Whoever wants to know how a run goes on; this one does not care."""

    def begins(self, section: Section) -> None:
        """A section begins."""

    def step(self, section: Section, cell: Cell) -> None:
        """A cell of it begins."""

    def ended(self, section: records.Section) -> None:
        """A section ended, or was left out."""

    def closing(self) -> None:
        """All sections are done; the record is rendered and sealed."""


def ask(order: Order) -> None:
    """Have the person at the terminal type what the run will need, before it begins. Raises SheetError."""
    for what, login in order.prompts():
        prompt.ask_ahead(what)
        # registered here as well, where notebooks are written and records sealed
        secret(prompt.REFERENCE, login=login, what=what)


def start(order: Order, folder: Path) -> Path:
    """Make the record of a run; the sheet is in it before anything is connected to. Raises MailhostError."""
    record = records.create(
        folder,
        order.want.name,
        section=order.alone,
        mode=order.mode,
        ticket=order.ticket,
        note=order.note,
        planned=[section.name for section in order.sections],
    )
    records.write_sheet(record, order.want)
    return record


def run(order: Order, record: Path, watcher: Watcher) -> str:
    """Run the sections and close the record; returns the digest of its manifest.

    Ctrl-C, SIGTERM and SIGHUP stop the cell that runs; the record then says ``interrupted``. Raises MailhostError
    when the record cannot be closed.
    """
    reason = ""
    kernel.make_ready()
    with stoppable():
        try:
            for section in order.sections:
                if reason:
                    records.skip_section(record, section.name, reason, title=section.title, mode=order.mode)
                    watcher.ended(_section(record, section.name))
                    continue
                watcher.begins(section)
                executed = _execute(order, section, record, watcher)
                settle(record, section, executed, mode=order.mode)
                known = _section(record, section.name)
                watcher.ended(known)
                reason = why_stop(section, known, order.mode)
                if not reason and executed.status == "interrupted":
                    break  # the signal came when the section was closed already: as between two sections
        except KeyboardInterrupt:
            pass  # between two sections: the ones that are missing now make the record's verdict "interrupted"
        watcher.closing()
        with deaf():
            return records.close(record)


def why_stop(section: Section, known: records.Section, mode: str) -> str:
    """Why nothing may run after this section; empty when the next one may."""
    if known.verdict == "no-go":
        return f"{section.name} says no-go, and nothing is touched after that."
    if known.verdict == "interrupted":
        return f"the run was interrupted in {section.name}."
    if known.error:
        return f"{section.name} ended by an error."
    if mode == "apply" and known.verdict == "failed" and section.number in _APPLIES:
        return f"{section.name} failed, and nothing is applied on top of what failed."
    return ""


def settle(record: Path, section: Section, executed: Executed, *, mode: str) -> None:
    """Write down how a section ended where its own last cell did not come to it."""
    file = path_of(record, section.name)
    known = read_json(file) if file.exists() else {}
    if known.get("state") == "closed":
        # the kernel's start and end are part of what a section takes, and it cannot time them itself
        records.write_section(record, {"name": section.name, "seconds": executed.seconds})
        return
    if executed.status == "error":
        verdict, error = "failed", _told(section, executed)
    elif executed.status == "completed":
        verdict, error = "unknown", "the notebook ended without asking for its verdict."
    else:
        verdict, error = "interrupted", f"{executed.error or executed.status} (cell {executed.cell or 'none'})"
    values: dict[str, Any] = {"name": section.name, "verdict": verdict, "error": error, "ended": now()}
    values["state"] = "interrupted" if verdict == "interrupted" else "closed"
    if not known:
        values |= {"title": section.title, "mode": mode}
    values["seconds"] = executed.seconds
    records.write_section(record, values)


def _execute(order: Order, section: Section, record: Path, watcher: Watcher) -> Executed:
    from runbook import engine  # here, since papermill costs half a second and a wrong sheet none

    try:
        return engine.execute(
            section.path,
            record / f"{section.name}.ipynb",
            order.parameters(record),
            on_cell=lambda cell: watcher.step(section, cell),
        )
    except Exception as error:  # noqa: BLE001  # the record is closed whatever our own defect is
        write(record / TRACEBACK, redact(traceback.format_exc()))
        told = f"{redact(str(error)) or 'no message'} (a defect of the runbook; see {TRACEBACK} in the record)"
        return engine.Executed("error", 0.0, told, type(error).__name__)


def _told(section: Section, executed: Executed) -> str:
    """An error of ours as it stands; anything else in one line, with where the traceback is."""
    if "\n  To do: " in executed.error or executed.name.endswith("SheetError"):
        return executed.error
    if not executed.cell:
        return f"{executed.name}: {executed.error}"
    return f"{executed.name}: {executed.error} (in cell {executed.cell}; the traceback is in {section.name}.html)"


def _section(record: Path, name: str) -> records.Section:
    return next(section for section in records.load(record).sections if section.name == name)


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt, once: what comes later would disturb the tidying up."""

    def stop(number: int, _frame: object) -> None:
        for other in _STOPPING:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt(
            "stopped by Ctrl-C" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        )

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deaf() -> Iterator[None]:
    """No signal disturbs what is done meanwhile."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
