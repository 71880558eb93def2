"""A record's pages: verdict and findings first, and no address of another site."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mailhost.finding import Finding
from runbook import record as records
from runbook import render
from runbook.offline import offline
from runbook.tables import findings_table

PASS = Finding("unit-active", "Dovecot runs", "pass", actual="active", evidence=(2,))
FAIL = Finding(
    "ports", "Nothing else listens", "fail", "low", "imap", "a", "b", "<script>alert(1)</script>", "Mend it."
)
WORSE = Finding(
    "cleartext", "Cleartext is refused", "fail", "critical", message="It is not.", remedy="Set ssl = required."
)
OTHER = Finding("dates", "The dates hold", "unknown", message="No answer.", remedy="Look.")


class Addresses(HTMLParser):
    """Every address that a page names in an attribute or in its style."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src", "srcset", "action", "data", "poster", "xlink:href"):
                self.found.append(value or "")
            self.found += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.found += re.findall(r"url\(([^)]*)\)|@import\s*([^;]*)", data)


def addresses(html: str) -> tuple[list[str], list[str]]:
    page = Addresses()
    page.feed(html)
    return page.found, page.tags


def leads_elsewhere(address: str) -> bool:
    return bool(re.match(r"\s*([a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE)) or address.startswith("javascript:")


@pytest.fixture
def page(made: Callable[..., Path]) -> str:
    folder = made(("04_test", "unknown", [PASS, OTHER]), ("05_secure", "failed", [FAIL, WORSE]))
    notebook = {
        "cells": [
            {
                "cell_type": "markdown", "id": "t", "metadata": {},
                "source": "# Secure\n\n[the guide](https://example.com/x) ![p](http://example.com/p.png) $x^2$\n\n"
                "```mermaid\nx\n```",
            },
            {
                "cell_type": "code", "id": "check", "metadata": {}, "execution_count": 1, "source": "run.check(...)",
                "outputs": [
                    {"output_type": "display_data", "metadata": {}, "data": findings_table([FAIL])._repr_mimebundle_()},
                    {"output_type": "display_data", "metadata": {}, "data": {
                        "text/html": "<script src='https://example.com/a.js'>x</script><a href='//example.com'>o</a>"}},
                ],
            },
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
        "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    (folder / "05_secure.ipynb").write_text(json.dumps(notebook))
    records.close(folder)
    return str(folder)


def test_no_page_names_another_site_or_runs_a_script(page: str) -> None:
    pages = list(Path(page).glob("*.html"))
    assert {file.name for file in pages} == {"index.html", "05_secure.html"}
    for file in pages:
        found, tags = addresses(file.read_text())
        assert not [address for address in found if leads_elsewhere(str(address))]
        assert not {"script", "iframe", "object", "embed", "base", "link"} & set(tags)
        assert "default-src 'none'" in file.read_text()


def test_every_link_of_the_first_page_leads_to_a_file_of_the_record(page: str) -> None:
    found, _ = addresses((Path(page) / "index.html").read_text())
    assert "05_secure.html" in found
    assert all((Path(page) / address).is_file() for address in found)


def test_the_verdict_comes_first_then_the_worst_finding(page: str) -> None:
    text = (Path(page) / "index.html").read_text().partition("</head>")[2]
    order = [text.index(word) for word in ("failed", "Cleartext is refused", "Nothing else listens", "The dates hold")]
    assert order == sorted(order)
    assert "Set ssl = required." in text
    assert text.index("Dovecot runs") > text.index("<details"), "what passed is folded away"


def test_what_a_server_says_is_text_and_never_markup(page: str) -> None:
    for file in Path(page).glob("*.html"):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in file.read_text()


def test_code_is_folded_away_and_prose_is_not(page: str) -> None:
    text = (Path(page) / "05_secure.html").read_text()
    assert re.search(r"<details class=\"code\"><summary>check", text)
    assert "<title>Secure</title>" in text
    assert "the guide" in text


@pytest.mark.parametrize(
    ("html", "clean"),
    [
        ('<a href="https://x.org/a">text</a>', "<a>text</a>"),
        ('<a href="#below">text</a>', '<a href="#below">text</a>'),
        ('<a href="05.html" title="a &amp; b">x</a>', '<a href="05.html" title="a &amp; b">x</a>'),
        ('<img alt="p" src="//x.org/p.png">', '<img alt="p">'),
        ('<img src="data:image/png;base64,AA">', '<img src="data:image/png;base64,AA">'),
        ("<script>var a = '<b>'</script>after", "after"),
        ('<p onclick="x()">a &lt; b &#8594; c</p>', "<p>a &lt; b &#8594; c</p>"),
        ('<link rel="stylesheet" href="https://x.org/a.css">after', "after"),
        ('<p style="background: url(https://x.org/a)">a</p>', "<p>a</p>"),
        (
            "<style>@import 'https://x.org/a.css'; a{background:url(//x.org)}</style>",
            "<style> a{background:none}</style>",
        ),
        ('<meta http-equiv="refresh" content="0;url=https://x.org">a', "a"),
        ("<!DOCTYPE html><p>a", "<!DOCTYPE html><p>a"),
        ('<a HREF=" HTTPS://x.org">a</a>', "<a>a</a>"),
        ('<a href="javascript:x()">a</a>', "<a>a</a>"),
    ],
)
def test_addresses_and_scripts_are_taken_out_and_nothing_else(html: str, clean: str) -> None:
    assert offline(html) == clean


def test_an_interrupted_cell_says_so(tmp_path: Path) -> None:
    cell = {
        "cell_type": "code", "id": "c", "execution_count": None, "source": "x", "outputs": [],
        "metadata": {"runbook": {"ended": "killed"}, "papermill": {"exception": True, "status": "failed"}},
    }  # fmt: skip
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert "killed" in render.notebook(tmp_path / "a.ipynb")
