"""What a notebook shows of facts, probes, changes and verdicts: which rows, in which words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailhost.changes import Change
from mailhost.checks import matrix as judged
from mailhost.facts.dovecot import Dovecot
from mailhost.facts.firewall import Firewall
from mailhost.facts.system import System
from mailhost.finding import Finding
from mailhost.policy import LEVELS, shipped
from mailhost.probes.dialogue import Dialogue
from mailhost.probes.offers import Ciphers, Versions
from mailhost.probes.reach import Reach
from mailhost.probes.tls import TlsSeen
from mailhost.query import Fact
from runbook import record as records
from runbook import servers as where
from runbook import tables

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
_LONG = 2000  # characters of a text value; the whole of it is in the transcript
# Values whose plain form nobody reads: seconds since 1970, bytes, kilobytes.
_TIMES = ("now", "asked", "boot_time", "since", "started")
_UNITS = {"available": 1, "memory_total_kb": 1024, "memory_available_kb": 1024}
_FOR_PROGRAMS = ("evidence", "boot_id", "since_monotonic")
_MEGABYTE, _GIGABYTE = 1_000_000, 1_000_000_000
# What the login matrix expects of each kind of credentials; each cell's own words are in its data and its frame.
_ANSWERS = {
    "right password": "let in, and the mailbox opens",
    "wrong password": "refused, in clear text for want of TLS",
    "unknown user": "refused",
    "expired account": "refused",
}
_WHO = {"C": "client", "S": "server"}


def rows(title: str, listed: Iterable[Row]) -> None:
    """Show a table of plain rows."""
    tables.show(tables.rows_table(title, list(listed)))


def start(section: str, title: str, server: str, mode: str, record: Path) -> None:
    """Show what runs, and name the record in a form that `runbook records add` finds again."""
    shown = tables.rows_table(title, [{"section": section, "server": server, "mode": mode, "record": str(record)}])
    tables.show(dataclasses.replace(shown, data={"record": str(record), "section": section}))


def fact(title: str, value: Fact) -> None:
    """Show a fact: its rows when it has rows, else its values one below the other."""
    tables.show(tables.rows_table(f"{title}{_evidence(value.evidence)}", fact_rows(value), empty="nothing found"))


def fact_rows(value: Fact) -> list[Row]:
    """A fact as rows."""
    if isinstance(value, Dovecot):
        return _dovecot(value)
    listed = getattr(value, "rows", None)
    if isinstance(listed, tuple):
        return [_shortened(_readable(dataclasses.asdict(row))) for row in listed]
    named = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Firewall) and "unknown" not in {*value.runtime.values(), *value.permanent.values()}:
        named.pop("raw")  # what it says is in the rows above
    if isinstance(value, System):
        named["os_release"] = value.pretty_name  # its addresses have no place in a record that opens offline
    return [
        {"what": name.removesuffix("_kb").replace("_", " "), "value": _short(_plain(item))}
        for name, item in _readable(named).items()
        if name not in _FOR_PROGRAMS and item not in (None, (), "", {})
    ]


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Times as dates and sizes in megabytes or gigabytes, by the name of the value."""
    return {name: _as_text(name, value) for name, value in values.items()}


def _as_text(name: str, value: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if name in _TIMES:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if name in _UNITS:
        size = value * _UNITS[name]
        return f"{size / _GIGABYTE:.1f} GB" if size >= _GIGABYTE else f"{size // _MEGABYTE} MB"
    return value


def _turns(result: Dialogue) -> list[Row]:
    """A dialogue as people read it: one row for what one side says before the other answers."""
    target = str(result.target)
    turns: list[Row] = []
    for who, said in groupby(result.rows(), key=lambda row: row["who"]):
        lines = list(said)
        what = "\n".join(str(line["what"]) for line in lines)
        turns.append({"target": target, "ms": lines[0]["ms"], "who": _WHO.get(who, who), "what": what})
    if result.error:
        turns.append({"target": target, "ms": None, "who": "-", "what": f"broke off: {result.error}"})
    return turns


def probe_rows(results: Sequence[Any]) -> list[Row]:
    """Results of probes as rows: dialogues line by line, handshakes and ports one row each."""
    listed: list[Row] = []
    for result in results:
        if isinstance(result, Dialogue):
            listed += _turns(result)
        elif isinstance(result, TlsSeen):
            listed.append(_handshake(result))
        elif isinstance(result, Versions):
            replies = {version: f"{reply.answer}: {reply.how}" for version, reply in result.replies}
            listed.append({"target": str(result.target), **replies})
        elif isinstance(result, Ciphers):
            listed.append(_ciphers(result))
        elif isinstance(result, Reach):
            listed.append(
                {
                    "target": str(result.target),
                    "state": result.state,
                    "ms": result.ms,
                    "greeting or reason": result.greeting or result.reason,
                }
            )
    return listed


def probe(title: str, results: Sequence[Any]) -> None:
    """Show what clients saw."""
    evidence = tuple(n for result in results for n in result.evidence)
    listed = [_narrowed(row) for row in probe_rows(results)]
    if all(isinstance(result, Versions | Ciphers) for result in results):
        listed = _alike(listed)
    tables.show(tables.rows_table(f"{title}{_evidence(evidence)}", listed, empty="nothing was tried"))


def matrix(title: str, results: Sequence[Dialogue]) -> None:
    """Show the login matrix: a line for each way in, a column for each kind of credentials."""
    cells = judged.cells(results)
    kinds = [kind for kind in _ANSWERS if any(cell.credentials == kind for cell in cells)]
    ways: dict[tuple[str, ...], dict[str, str]] = {}
    for cell in cells:
        line = ways.setdefault((cell.address, cell.service, cell.channel, cell.mechanism), {})
        line[cell.credentials] = f"{cell.verdict}: {cell.actual.removeprefix(f'{cell.mechanism}: ')}"
    names = ("address", "service", "channel", "mechanism")
    listed = [
        {**dict(zip(names, way, strict=True)), **{kind: line.get(kind, "never sent") for kind in kinds}}
        for way, line in ways.items()
    ]
    evidence = tuple(n for result in results for n in result.evidence)
    columns = {**{name: name for name in names}, **{kind: f"{kind} ({_ANSWERS[kind]})" for kind in kinds}}
    shown = tables.rows_table(f"{title}{_evidence(evidence)}", listed, columns, empty="nothing was tried")
    whole = tables.rows_table(title, cells)
    tables.show(dataclasses.replace(shown, data=whole.data))


def frame(value: Any) -> pd.DataFrame:
    """A fact or results of probes as a pandas DataFrame; the login matrix a row for each cell."""
    if not isinstance(value, Fact) and any(isinstance(one, Dialogue) and one.mechanism for one in value):
        return tables.rows_table("", judged.cells(value)).frame()
    listed = fact_rows(value) if isinstance(value, Fact) else probe_rows(value)
    return tables.rows_table("", listed).frame()


def changes(planned: Sequence[Change], state: str, *, why: str = "", connected: int = 0) -> None:
    """Show changes with their diffs; ``state`` is ``planned``, ``applied``, ``undone`` or ``not made``.

    ``connected`` is how many people are connected now, whom a restart interrupts.
    """
    tables.show(
        tables.changes_table(
            [
                {
                    "title": change.title,
                    "state": state,
                    "diff": change.diff() if state == "planned" else "",
                    "note": why or (f"{connected} people are connected and must reconnect" if change.restarts else ""),
                }
                for change in planned
            ]
        )
    )


def findings(found: Sequence[Finding]) -> None:
    """Show findings, worst first."""
    tables.show(tables.findings_table(found))


def verdict(word: str, found: Sequence[Finding], *, changes: int, mode: str) -> None:
    """Show the verdict, and below it all that is not a pass."""
    tables.show(tables.verdict_banner(word, found, changes=changes, mode=mode))


def _dovecot(found: Dovecot) -> list[Row]:
    """What decides; the whole configuration and the digest of each file are in the transcript."""
    settings = {item.name: getattr(found.settings, item.name) for item in dataclasses.fields(found.settings)}
    return [
        {"what": what, "value": _short(value)}
        for what, value in [
            ("version", found.version or "not installed"),
            ("running", found.running),
            ("configuration accepted", found.error or found.valid),
            *((name.replace("_", " "), " ".join(v) if isinstance(v, tuple) else v) for name, v in settings.items()),
            ("networks trusted with clear text", found.trusted_networks or ("none" if found.installed else None)),
            (
                "overridden for some connections",
                [f"{' '.join(r.section)}: {r.name} = {r.value}" for r in found.filtered],
            ),
            ("configuration files", len(found.files)),
            ("our drop-in", found.drop_in),
        ]
        if value not in (None, "", [])
    ]


def servers() -> None:
    """Show the servers that have a sheet, each with its last record."""
    listed = []
    for name, file in sorted({**where.lab_sheets(), **where.sheets()}.items()):
        last = next(records.newest_first(where.records_folder(), where.name_of(str(file))), None)
        listed.append(
            {
                "server": name,
                "sheet": str(file),
                "last record": last.path.name if last else "none yet",
                "mode": last.run.get("mode") if last else "",
                "verdict": last.verdict if last else "",
                "look at": str(last.path / "index.html") if last else "",
            }
        )
    tables.show(
        tables.rows_table("Servers", listed, empty="none yet: `runbook init NAME` makes a sheet under parameters/")
    )


def _handshake(seen: TlsSeen) -> Row:
    leaf = seen.leaf
    if seen.error or leaf is None:
        return {"target": str(seen.target), "verification": seen.error or "no certificate was sent"}
    return {
        "target": str(seen.target),
        "protocol": seen.protocol,
        "cipher": seen.cipher,
        "subject": leaf.subject,
        "names": leaf.names,
        "issuer": leaf.issuer,
        "days left": leaf.days_left(datetime.now(UTC)),
        "chain as sent": [certificate.subject for certificate in seen.chain],
        "verification": seen.verify_text or ("ok" if seen.verified else "not verified"),
    }


def _narrowed(row: Row) -> Row:
    """A handshake's row in fewer columns, so that it fits a page; the others as they are."""
    if "cipher" not in row:
        return row
    return {
        "target": row["target"],
        "protocol, cipher": [row["protocol"], row["cipher"]],
        "subject, names, issuer": [
            row["subject"],
            *(name for name in row["names"] if name not in row["subject"]),
            f"by {row['issuer']}",
        ],
        "days left": row["days left"],
        "chain as sent": row["chain as sent"],
        "verification": row["verification"],
    }


def _ciphers(seen: Ciphers) -> Row:
    """Suites by what the policy says of them; those that it has none of are left out by `_alike`."""
    rules = shipped()
    by_level = {level.replace("_", " "): [s for s in seen.suites if rules.suite(s) == level] for level in LEVELS}
    groups = [f"{group} ({rules.group(group).replace('_', ' ')})" for group in seen.groups]
    return {"target": str(seen.target), **by_level, "key exchange": groups, "unknown": list(seen.unknown)}


def _alike(listed: Sequence[Row]) -> list[Row]:
    """Ports that say the same in one row, and only columns that say something."""
    used = [key for key in (listed[0] if listed else {}) if any(row[key] for row in listed)]
    same: dict[str, list[Row]] = {}
    for row in listed:
        same.setdefault(repr([row[key] for key in used if key != "target"]), []).append(row)
    return [{key: alike[0][key] for key in used} | {"target": [r["target"] for r in alike]} for alike in same.values()]


def _evidence(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    first, last = min(numbers), max(numbers)
    return f" (transcript {first})" if first == last else f" (transcript {first} to {last})"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: item for key, item in dataclasses.asdict(value).items() if item not in (None, (), "", {})}
    if isinstance(value, tuple | list):
        return [
            " ".join(str(part) for part in dataclasses.astuple(item) if part not in (None, ""))
            if dataclasses.is_dataclass(item) and not isinstance(item, type)
            else item
            for item in value
        ]
    return value


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONG:
        return value[:_LONG] + " [...]"
    return value


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _short(value) for key, value in row.items()}
