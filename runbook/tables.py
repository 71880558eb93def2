"""Rows as tables: HTML for people, aligned text for grep, JSON for programs. The only pandas and IPython.

A display object carries all three at once (`_repr_mimebundle_`), so that JupyterLab, papermill and the record's HTML
each take theirs. Everything is redacted before it is shown. pandas is imported only when somebody asks for a
frame: it costs half a second, and a table needs none of it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailhost.finding import Finding, counts, worst_first
from runbook.record.folder import scrub

if TYPE_CHECKING:
    import pandas as pd

MIME = "application/vnd.dovecot-runbook+json"
_WIDEST = 60  # characters of a column of text/plain, before it wraps
_LONG_WORD = 28  # characters
_MARKS = {"pass": "good", "as-wanted": "good", "applied": "good", "unchanged": "calm", "fail": "bad", "failed": "bad"}
_MARKS |= {
    "no-go": "bad",
    "unknown": "warn",
    "pending": "warn",
    "interrupted": "warn",
    "planned": "warn",
    "undone": "warn",
}


@dataclass(frozen=True)
class Shown:
    """Something to display, in all its forms."""

    html: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002
        """What Jupyter asks for; a stored output keeps the whole bundle."""
        return {
            "text/html": f'<style>{_css()}</style><div class="rb">{self.html}</div>',
            "text/plain": self.text,
            MIME: dict(self.data),
        }

    def __repr__(self) -> str:
        """The aligned text."""
        return self.text


@dataclass(frozen=True, repr=False)
class Table(Shown):
    """A table; `frame` gives it to pandas."""

    rows: tuple[Mapping[str, Any], ...] = ()

    def frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame, to sort and filter by hand."""
        import pandas as pd

        return pd.DataFrame([dict(row) for row in self.rows])


def rows_table(
    title: str, rows: Iterable[Any], columns: Sequence[str] | Mapping[str, str] | None = None, *, empty: str = "none"
) -> Table:
    """A table of dataclasses or mappings.

    ``columns`` picks and orders fields; as a mapping it gives their headings too. ``empty`` is said when there are
    no rows.
    """
    records = [scrub(_mapping(row)) for row in rows]
    names: dict[str, str]
    if columns is None:
        names = {key: key.replace("_", " ") for record in records for key in record}
    elif isinstance(columns, Mapping):
        names = dict(columns)
    else:
        names = {key: key.replace("_", " ") for key in columns}
    picked = [{key: record.get(key) for key in names} for record in records]
    data = {"table": title, "rows": json.loads(json.dumps(picked, default=str))}
    if not picked:
        return Table(f"<p><b>{escape(title)}</b>: {escape(empty)}</p>", f"{title}: {empty}", data, ())
    return Table(_html(title, names, picked), _text(title, names, picked), data, tuple(picked))


def findings_table(findings: Iterable[Finding], *, title: str = "Findings") -> Table:
    """Findings, worst first, with message and remedy; those that say the same of several subjects in one row."""
    ordered = worst_first(findings)
    alike: dict[Finding, list[Finding]] = {}
    for f in ordered:
        alike.setdefault(dataclasses.replace(f, subject="", evidence=()), []).append(f)
    rows = [
        {
            "status": f.status,
            "condition": f.title + _subjects([one.subject for one in same]),
            "expected": f.expected,
            "actual": f.actual,
            "what follows, what to do": "\n".join(filter(None, (f.message, f.remedy and f"To do: {f.remedy}"))),
            "evidence": _numbers(number for one in same for number in one.evidence),
        }
        for f, same in alike.items()
    ]
    used = [key for key in rows[0] if any(row[key] for row in rows)] if rows else []
    shown = rows_table(title, rows, used, empty="nothing was checked")
    data = {"findings": [scrub(f.as_dict()) for f in ordered]}
    return dataclasses.replace(shown, data=data)


def changes_table(changes: Iterable[Any], *, title: str = "Changes") -> Table:
    """Changes with their state and their diff.

    Each row has ``title``, ``state`` (``planned``, ``applied``, ``undone``, ``failed``) and, where there is one,
    a unified ``diff`` and a ``note``.
    """
    rows = [scrub(_mapping(change)) for change in changes]
    if not rows:
        return rows_table(title, [], empty="none: the server is as wanted")
    parts = [f"<p><b>{escape(title)}</b>: {len(rows)}</p>"]
    lines = [f"{title}: {len(rows)}"]
    for row in rows:
        state, diff, note = str(row.get("state") or ""), str(row.get("diff") or ""), str(row.get("note") or "")
        parts.append(f"<p>{_marked(state)} {escape(str(row.get('title') or ''))}{_dim(note)}</p>{_diff(diff)}")
        lines.append(f"  {state:<9} {row.get('title') or ''}" + (f" ({note})" if note else ""))
        lines += [f"      {line}" for line in diff.splitlines()]
    data = {"changes": json.loads(json.dumps(rows, default=str))}
    return Table("".join(parts), "\n".join(lines), data, tuple(rows))


def verdict_banner(
    verdict: str, findings: Iterable[Finding] = (), *, changes: int = 0, mode: str = "", note: str = ""
) -> Shown:
    """The verdict of a section in one line, and below it each finding that is not a pass, with its remedy."""
    listed = worst_first(findings)
    totals = counts(listed)
    said = ", ".join(f"{number} {status}" for status, number in totals.items() if number) or "nothing was checked"
    done = f"{changes} {'change' if changes == 1 else 'changes'}" + {"plan": " planned", "apply": " made"}.get(mode, "")
    said = f"{said}; {done}" + (f". {note}" if note else "")
    tone = _MARKS.get(verdict, "calm")
    html = f'<div class="verdict {tone}"><b class="{tone}">{escape(verdict)}</b>: {escape(scrub(said))}</div>'
    rest = [finding for finding in listed if finding.status != "pass"]
    text = f"{verdict.upper()}: {scrub(said)}"
    if rest:
        table = findings_table(rest, title="What is not passed")
        html, text = html + table.html, f"{text}\n\n{table.text}"
    data = {"verdict": verdict, "changes": changes, "mode": mode, "counts": totals}
    return Shown(html, text, data)


def show(*things: Any) -> None:
    """Display things in the cell that runs now."""
    from IPython.display import display

    display(*things)  # type: ignore[no-untyped-call]


def _subjects(subjects: Sequence[str]) -> str:
    named = [subject for subject in subjects if subject]
    return f" ({', '.join(named)})" if named else ""


def _numbers(numbers: Iterable[int]) -> str:
    """Numbers of transcript entries, runs of them as `first-last`."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


@cache
def _css() -> str:
    return Path(__file__).with_name("templates").joinpath("table.css").read_text(encoding="utf-8").partition("*/")[2]


def _mapping(row: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {item.name: getattr(row, item.name) for item in dataclasses.fields(row)}
    return dict(row)


def _cell(value: Any) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return "\n".join(_cell(item) for item in value)
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _html(title: str, names: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    numeric = {key for key in names if all(_is_number(row[key]) for row in rows)}

    def tag(kind: str, key: str, inner: str) -> str:
        return f'<{kind} class="num">{inner}</{kind}>' if key in numeric else f"<{kind}>{inner}</{kind}>"

    head = "".join(tag("th", key, escape(name)) for key, name in names.items())
    body = "".join(
        "<tr>" + "".join(tag("td", key, _marked(_cell(row[key]))) for key in names) + "</tr>" for row in rows
    )
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(title: str, names: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Columns aligned by spaces; long text wraps inside its column, between words: paths and digests stay whole."""
    cells = [
        [_wrapped(name) for name in names.values()],
        *([_wrapped(_cell(row[key])) for key in names] for row in rows),
    ]
    widths = [max(len(line) for row in cells for line in row[i]) for i in range(len(names))]
    lines = [title]
    for number, row in enumerate(cells):
        for level in range(max(len(cell) for cell in row)):
            parts = (cell[level] if level < len(cell) else "" for cell in row)
            lines.append("  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    wrap = textwrap.TextWrapper(_WIDEST, break_long_words=False, break_on_hyphens=False).wrap
    return [part for line in text.splitlines() for part in (wrap(line) or [""])] or [""]


def _marked(text: str) -> str:
    tone = _MARKS.get(text)
    return f'<b class="{tone}">{escape(text)}</b>' if tone else _breakable(text)


def _breakable(text: str) -> str:
    """Long words (digests, paths, cipher suites) may be broken, so that a table does not grow wider than the page."""
    parts = re.split(rf"(\S{{{_LONG_WORD},}})", text)
    return "".join(
        "<wbr>".join(escape(piece) for piece in re.findall(r"[^_/,.-]{1,24}[_/,.-]?|[_/,.-]", part))
        if number % 2
        else escape(part)
        for number, part in enumerate(parts)
    )


def _dim(text: str) -> str:
    return f' <span class="dim">({escape(text)})</span>' if text else ""


def _diff(text: str) -> str:
    if not text:
        return ""
    kinds = {"+": "add", "-": "del", "@": "dim"}
    lines = []
    for line in text.splitlines():
        kind = "dim" if line.startswith(("+++", "---")) else kinds.get(line[:1], "")
        lines.append(f'<span class="{kind}">{escape(line) or " "}</span>')
    return f"<pre>{''.join(lines)}</pre>"
