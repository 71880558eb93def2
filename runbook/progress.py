"""How a run goes on, told while it goes: a live line on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from runbook.record import Section as Ended
from runbook.render import alike
from runbook.running import Watcher
from runbook.sections import Section

if TYPE_CHECKING:
    from runbook.engine import Cell

TONES = {
    "as-wanted": "green",
    "pending": "yellow",
    "unknown": "yellow",
    "interrupted": "yellow",
    "failed": "red",
    "no-go": "red",
    "not-run": "dim",
}


class Progress(Watcher):
    """Section, step and time since the start; used as a context."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.began = time.monotonic()
        self._section, self._step, self._heading = "", "", ""
        self._spinner = Spinner("line")
        self._live: Live | None = None
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Show no more."""
        if self._live:
            self._live.stop()

    def __rich__(self) -> Spinner:
        """The live line; rich asks for it anew several times a second."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        line = Text(f"{minutes}:{seconds:02}  ", no_wrap=True, overflow="ellipsis")
        line.append(self._section or "starting", style="bold").append(f"  {self._step}")
        self._spinner.update(text=line)
        return self._spinner

    def begins(self, section: Section) -> None:
        """A section begins."""
        self._section, self._step, self._heading = section.name, "starting", ""
        if not self._live:
            self._line(section.name, f"begins: {section.title}" if section.title else "begins")

    def step(self, section: Section, cell: Cell) -> None:
        """A cell begins: live each one is shown, in a log each heading once."""
        self._step = f"{cell.index + 1}/{cell.total}  {cell.heading}"
        if not self._live and cell.heading and cell.heading not in (self._heading, section.title):
            self._line(section.name, cell.heading)
        self._heading = cell.heading

    def ended(self, section: Ended) -> None:
        """A section ended, or was left out."""
        changes = f"{section.changes} {'change' if section.changes == 1 else 'changes'}"
        text = Text(f"{section.name:<14} ").append(f"{section.verdict:<12}", style=TONES.get(section.verdict, ""))
        text.append(f" {changes:<11} {section.seconds:6.1f} s" if section.state != "not-run" else f" {section.error}")
        if self._live:
            self.console.print(text, soft_wrap=True)
        else:
            self._line(section.name, text.plain.removeprefix(f"{section.name:<14} "))
            self._wrong(section)
        self._section, self._step = "", ""

    def closing(self) -> None:
        """The record is rendered and sealed."""
        self._section, self._step = "record", "is rendered and sealed"

    def _wrong(self, section: Ended) -> None:
        """In a log each finding that keeps the section from being as wanted: no table may follow that tells it."""
        wrong = [(section.name, found) for found in section.findings if found.status in ("fail", "unknown")]
        for name, found in alike(wrong):
            f = found[0]
            on = ", ".join(one.subject for one in found if one.subject)
            self._line(name, f"{f.status} {f.id}{f' ({on})' if on else ''}: {f.message}")

    def _line(self, section: str, text: str) -> None:
        self.console.print(
            f"[{time.monotonic() - self.began:6.1f} s] {section}  {' '.join(text.split())}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
