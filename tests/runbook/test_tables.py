"""Tables: for people, for grep and for programs, redacted."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from mailhost import redact
from mailhost.finding import Finding
from runbook import tables

MIME = "application/vnd.dovecot-runbook+json"
PASS = Finding("a", "It runs", "pass", actual="active")
FAIL = Finding("b", "It refuses", "fail", "critical", "pop3", "-ERR", "+OK", "It does not.", "Set it.", (3, 4))


@dataclass(frozen=True)
class Row:
    name: str
    port: int
    served: bool
    names: tuple[str, ...] = ()


ROWS = [Row("pop3", 110, served=True, names=("a", "b")), Row("<imaps>", 993, served=False)]


def test_carries_all_three_forms() -> None:
    bundle = tables.rows_table("Listeners", ROWS)._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain", MIME}
    assert json.loads(json.dumps(bundle))[MIME]["rows"][0] == {
        "name": "pop3",
        "port": 110,
        "served": True,
        "names": ["a", "b"],
    }


def test_text_is_aligned_and_one_row_can_be_found_by_grep() -> None:
    lines = tables.rows_table(
        "Listeners", [{"port": 110, "by": "dovecot"}, {"port": 22, "by": "sshd"}]
    ).text.splitlines()
    assert lines == ["Listeners", "port  by", "----  -------", "110   dovecot", "22    sshd"]


def test_html_is_escaped_and_says_yes_and_no() -> None:
    html = tables.rows_table("A < B", ROWS).html
    assert "&lt;imaps&gt;" in html
    assert "A &lt; B" in html
    assert ">yes<" in html
    assert ">no<" in html


def test_columns_pick_order_and_name() -> None:
    table = tables.rows_table("x", ROWS, {"port": "Port", "name": "Service"})
    assert table.text.splitlines()[1] == "Port  Service"
    assert "served" not in table.text
    assert tables.rows_table("x", ROWS, ["port"]).rows == ({"port": 110}, {"port": 993})


def test_no_rows_are_said_in_words() -> None:
    assert tables.rows_table("Listeners", [], empty="nobody listens").text == "Listeners: nobody listens"
    assert tables.findings_table([]).text == "Findings: nothing was checked"


def test_a_path_and_a_digest_stay_whole() -> None:
    path, digest = f"/srv/records/{'mail-' * 20}/2026-11-01T120000Z-06_audit", "0123456789abcdef" * 4
    text = tables.rows_table("Record", [{"record": path, "manifest": digest}]).text
    assert path in text
    assert digest in text


def test_long_text_wraps_inside_its_column() -> None:
    lines = tables.rows_table("x", [{"a": "word " * 40, "b": "end"}]).text.splitlines()
    assert max(len(line) for line in lines) <= 70
    assert len(lines) > 5


def test_findings_stand_worst_first_with_their_remedy() -> None:
    table = tables.findings_table([PASS, FAIL])
    assert table.text.index("It refuses (pop3)") < table.text.index("It runs")
    assert "To do: Set it." in table.text
    assert [row["id"] for row in table.data["findings"]] == ["b", "a"]


def test_a_diff_is_shown_line_by_line() -> None:
    change = {
        "title": "Write x",
        "state": "planned",
        "diff": "--- a\n+++ b\n@@ -1 +1 @@\n-ssl = no\n+ssl = <required\n",
    }
    shown = tables.changes_table([change])
    assert '<span class="del">-ssl = no</span><span class="add">+ssl = &lt;required</span>' in shown.html
    assert "planned   Write x" in shown.text
    assert tables.changes_table([]).text == "Changes: none: the server is as wanted"


def test_the_verdict_names_what_is_not_passed() -> None:
    shown = tables.verdict_banner("failed", [PASS, FAIL], changes=1, mode="plan")
    assert shown.text.startswith("FAILED: 1 pass, 1 fail; 1 change planned")
    assert "To do: Set it." in shown.text
    assert "It runs" not in shown.text
    assert tables.verdict_banner("as-wanted", [PASS], mode="apply").text == "AS-WANTED: 1 pass; 0 changes made"


def test_everything_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", ())
    redact.register("s3cret-word")
    leaky = Finding("b", "It", "fail", message="PASS s3cret-word", remedy="s3cret-word", actual="s3cret-word")
    change = {"title": "s3cret-word", "state": "applied", "diff": "+s3cret-word", "note": "s3cret-word"}
    for shown in (
        tables.rows_table("x", [{"a": {"b": ["s3cret-word"]}}]),
        tables.findings_table([leaky]),
        tables.changes_table([change]),
        tables.verdict_banner("failed", [leaky], note="s3cret-word"),
    ):
        assert "s3cret" not in json.dumps(shown._repr_mimebundle_())


def test_a_table_is_a_frame_when_asked() -> None:
    frame = tables.rows_table("Listeners", ROWS, ["name", "port"]).frame()
    assert list(frame.columns) == ["name", "port"]
    assert frame["port"].sum() == 1103


def test_no_table_costs_the_import_of_pandas() -> None:
    script = (
        "import sys; from runbook import tables; "
        "tables.rows_table('x', [{'a': 1}])._repr_mimebundle_(); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
