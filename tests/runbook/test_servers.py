"""Which server is meant, and which sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailhost.errors import SheetError
from runbook import sections, servers

NAME = "mail.example.test"


@pytest.fixture(autouse=True)
def no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "lab_sheets", dict)


def test_the_root_is_found_from_any_folder_below_it(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    below = project.root / "notebooks" / "deep"
    below.mkdir()
    monkeypatch.chdir(below)
    assert servers.root() == project.root
    assert servers.records_folder() == project.root / "records"


def test_from_elsewhere_the_root_is_that_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (servers.root() / "runbook" / "servers.py").is_file()


def test_a_name_is_a_sheet_under_parameters(project: Any) -> None:
    assert servers.find(NAME) == project.root / "parameters" / f"{NAME}.yaml"
    assert servers.load(NAME).name == NAME


def test_a_path_is_a_sheet_wherever_it_lies(project: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("name: other\nmail_names: [other]\n")
    assert servers.find(str(other)) == other
    assert servers.find("other.yaml") == other
    assert servers.find(f"parameters/{NAME}.yaml").name == f"{NAME}.yaml"


def test_a_lab_server_is_found_by_its_name(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.yaml"
    sheet.write_text("name: web1\nmail_names: [web1]\n")
    monkeypatch.setattr(servers, "lab_sheets", lambda: {"web1": sheet})
    assert servers.find("web1") == sheet
    assert servers.known() == [NAME, "web1"]


def test_records_go_by_the_name_in_the_sheet(project: Any) -> None:
    (project.root / "parameters" / "web4.yaml").write_text("name: r4\nmail_names: [r4.example.test]\n")
    assert servers.name_of("web4") == servers.name_of("parameters/web4.yaml") == "r4"
    assert servers.name_of("gone.example.test") == "gone.example.test"


def test_two_matches_are_an_error_that_names_both(
    project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.yaml"
    sheet.write_text("")
    monkeypatch.setattr(servers, "lab_sheets", lambda: {NAME: sheet})
    with pytest.raises(SheetError, match="two servers") as caught:
        servers.find(NAME)
    assert str(sheet) in str(caught.value)
    assert "by its path" in str(caught.value)


@pytest.mark.parametrize("wrong", ["mail.exampel.test", "../etc/passwd", "", "nothing-like-it", "missing.yaml"])
def test_an_unknown_one_is_told_what_there_is(project: Any, wrong: str) -> None:
    with pytest.raises(SheetError) as caught:
        servers.find(wrong)
    assert NAME in str(caught.value)
    assert "runbook init" in str(caught.value)


def test_the_example_and_the_policy_are_no_servers(project: Any) -> None:
    (project.root / "parameters" / "example.yaml").write_text("")
    assert list(servers.sheets()) == [NAME]


@pytest.fixture
def numbered(project: Any) -> Any:
    for name in ("00_start_here", "01_preflight", "03_configure", "06_audit", "07_renew"):
        project.notebook(name, "1", title=f"Title of {name}")
    return project


def test_a_run_is_01_to_06_in_order(numbered: Any) -> None:
    assert [section.name for section in sections.pick(numbered.root)] == ["01_preflight", "03_configure", "06_audit"]


@pytest.mark.parametrize("name", ["03_configure", "03", "3", "configure", "03_configure.ipynb"])
def test_a_section_is_meant_by_number_word_or_both(numbered: Any, name: str) -> None:
    assert [section.name for section in sections.pick(numbered.root, [name])] == ["03_configure"]


def test_what_is_numbered_higher_runs_when_named_and_named_ones_keep_their_order(numbered: Any) -> None:
    assert [s.name for s in sections.pick(numbered.root, ["renew", "preflight", "01"])] == ["01_preflight", "07_renew"]


def test_an_unknown_section_is_told_what_there_is(numbered: Any) -> None:
    with pytest.raises(sections.UnknownSection, match="did you mean configure"):
        sections.pick(numbered.root, ["confgure"])


def test_the_title_is_the_first_heading(numbered: Any) -> None:
    assert servers.section_title("03_configure") == "Title of 03_configure"
    assert servers.section_title("99_none") == "99_none"
