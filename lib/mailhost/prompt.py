"""Secrets that a person types: at the terminal before a run begins, or in front of the notebook; kept nowhere.

The kernels of a run have no terminal. So the command asks ahead, and each kernel gets what was typed through the
pipe that starts it: it stands in no file, no command line and no environment.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from types import MethodType

from mailhost.errors import SheetError
from mailhost.redact import register

REFERENCE = "prompt:"

_ahead: dict[str, str] = {}  # what is asked for, and what was typed


def ask(what: str) -> str:
    """What was typed ahead, else what the person types now. Raises SheetError when nobody is there to type it."""
    return _ahead[what] if what in _ahead else _asked(what)


def ask_ahead(what: str) -> None:
    """Ask now, and keep it for the kernels of this run. Raises SheetError when nobody is there to type it."""
    _ahead[what] = ask(what)


def typed() -> dict[str, str]:
    """What was typed ahead, to be handed on to a process that calls `take`."""
    return dict(_ahead)


def take(typed: Mapping[str, str]) -> None:
    """Take what was handed on to this process."""
    _ahead.update(typed)
    for secret in typed.values():
        register(secret)


def _asked(what: str) -> str:
    somebody = _in_a_notebook() or (sys.stdin is not None and sys.stdin.isatty())
    try:
        typed = getpass.getpass(f"{what}: ") if somebody else None
    except (EOFError, NotImplementedError):  # the second from a notebook that runs unattended, as under papermill
        typed = None
    if typed is None:
        raise SheetError(
            f"the {what} is to be typed in, and nobody is there to type it",
            remedy='use "env:NAME" or "file:PATH" in automation.',
        )
    return typed


def _in_a_notebook() -> bool:
    """Whether a kernel has put its own way to ask, a method, in the place of getpass's function."""
    return isinstance(getpass.getpass, MethodType)
