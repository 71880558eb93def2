"""A server of Red Hat's kind and one with Dovecot 2.4, broken by the rows of `mutations.ROWS` that name them."""

from __future__ import annotations

from collections.abc import Callable

import mutations
import pytest
from mutations import Patient, Row

WITHIN = True  # servers are what this is about


@pytest.mark.live
@pytest.mark.parametrize(("row", "system"), mutations.cases(2))
def test_it_is_found_and_nothing_else_is(
    row: Row, system: str, patients: Callable[[str], Patient], record_property: Callable[[str, object], None]
) -> None:
    record_property("mutation", row.id)
    mutations.judge(row, patients(system))


@pytest.mark.live
@pytest.mark.parametrize("system", mutations.ALL[1:])
def test_afterwards_the_server_is_as_wanted_again(system: str, patients: Callable[[str], Patient]):
    record = patients(system).judge(mutations.AUDIT)
    assert record.verdict == "as-wanted", mutations.told(record)
