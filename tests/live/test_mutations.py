"""A Debian 12 server, broken by every other row of `mutations.ROWS`; and the rows that captured output stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mutations
import pytest
from mutations import Patient, Row

WITHIN = True  # servers are what this is about


@pytest.mark.live
@pytest.mark.parametrize(("row", "system"), mutations.cases(0))
def test_it_is_found_and_nothing_else_is(
    row: Row, system: str, patients: Callable[[str], Patient], record_property: Callable[[str, object], None]
) -> None:
    record_property("mutation", row.id)
    mutations.judge(row, patients(system))


@pytest.mark.live
@pytest.mark.parametrize("system", mutations.ALL[:1])
def test_afterwards_the_server_is_as_wanted_again(system: str, patients: Callable[[str], Patient]):
    record = patients(system).judge(mutations.AUDIT)
    assert record.verdict == "as-wanted", mutations.told(record)


@pytest.mark.parametrize("row", [row for row in mutations.ROWS if row.captured], ids=lambda row: row.name)
def test_what_no_lab_server_can_be_broken_by_names_the_test_that_judges_it(
    row: Row, record_property: Callable[[str, object], None]
) -> None:
    file, name = row.captured
    record_property("mutation", row.id)
    record_property("captured", f"tests/{file}::{name}")  # it counts as caught only where that test has passed
    assert name in (Path(__file__).parents[1] / file).read_text()


def test_what_changes_with_a_row_is_a_finding_too():
    known = {row.id for row in mutations.ROWS}
    assert {also for row in mutations.ROWS for also in row.also} <= known
