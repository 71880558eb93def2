"""Probes at the same time, and the one that must be alone."""

from __future__ import annotations

import time

import pytest

from mailhost.probes.parallel import after_the_first, parallel


def spent(number: int) -> tuple[int, float, float]:
    began = time.monotonic()
    time.sleep(0.1)
    return number, began, time.monotonic()


@pytest.mark.parametrize("calls", [0, 1, 4])
def test_the_first_call_is_over_before_the_others_begin(calls: int) -> None:
    seen = after_the_first([(spent, (number,)) for number in range(calls)])
    assert [number for number, _, _ in seen] == list(range(calls))
    assert all(began >= seen[0][2] for _, began, _ in seen[1:])


def test_all_others_are_made_at_once() -> None:
    seen = parallel([(spent, (number,)) for number in range(3)])
    assert max(began for _, began, _ in seen) < min(ended for _, _, ended in seen)
