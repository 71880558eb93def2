"""Many probes at once: their time is the server's delays, not this machine's work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def after_the_first(calls: Sequence[tuple[Callable[..., T], tuple[Any, ...]]]) -> list[T]:
    """Make the first call alone, then the others at the same time; results come in the order of the calls.

    For logins: the first one makes the mailbox of a new account, and Dovecot 2.2 fails those who want it meanwhile.
    """
    return [*parallel(calls[:1]), *parallel(calls[1:])]


def parallel(calls: Sequence[tuple[Callable[..., T], tuple[Any, ...]]], *, workers: int = 16) -> list[T]:
    """Make all calls (function, arguments) at the same time; results come in the order of the calls."""
    if not calls:
        return []
    with ThreadPoolExecutor(max_workers=min(workers, len(calls))) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in calls]
        return [future.result() for future in futures]
