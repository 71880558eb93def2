"""How the command looks: help texts as they are written, and 64 for wrong usage."""

from __future__ import annotations

from textwrap import indent
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

USAGE = 64  # sysexits.h: the command was used wrongly

# typer carries a click of its own; this is the class whose children say "used wrongly"
_WRONG: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


class Command(TyperCommand):
    """A command whose help keeps its lines: they hold tables and examples."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # as click calls it
        """Write the docstring as it stands."""
        _as_written(self.help, formatter)


class Group(TyperGroup):
    """The same for a group of commands."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # as click calls it
        """Write the docstring as it stands."""
        _as_written(self.help, formatter)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # as click calls it
        """In the order in which they were given, which is the order of use."""
        return list(self.commands)


def group(cls: type[TyperGroup]) -> typer.Typer:
    """A plain typer application: no colour boxes, no shell completion, no tracebacks of its own."""
    return typer.Typer(
        cls=cls,
        context_settings={"max_content_width": 110},
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )


def used_wrongly(error: Exception) -> int:
    """64 after showing what was used wrongly; 0 when the error is something else."""
    if not isinstance(error, _WRONG):
        return 0
    error.show()
    return USAGE


def _as_written(text: str | None, formatter: Any) -> None:
    if text:
        formatter.write("\n" + indent(text.strip(), "  ") + "\n")
