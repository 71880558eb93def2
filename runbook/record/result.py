"""What a record says: its sections, findings and verdict, whether it is sealed, open or was interrupted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailhost.errors import MailhostError
from mailhost.finding import Finding, counts
from runbook.record.folder import DIGEST, MANIFEST, RUN, SECTIONS, is_alive, read_json

# Worst first: the verdict of many sections is the worst of them.
VERDICTS = ("no-go", "failed", "interrupted", "unknown", "pending", "as-wanted")


@dataclass(frozen=True)
class Section:
    """One section of a record.

    state    ``open`` (its process lives), ``closed``, ``interrupted`` (it does not, and never came to its verdict)
             or ``not-run``
    verdict  one of VERDICTS, ``open`` or ``not-run``
    error    why there is no proper verdict, or why it did not run
    earlier  the same section's runs before this one in the same record, in short
    """

    name: str
    title: str
    state: str
    verdict: str
    mode: str
    changes: int
    seconds: float
    round_trips: int
    connections: int
    started: str | None
    ended: str | None
    findings: tuple[Finding, ...]
    facts: Mapping[str, Any]
    error: str | None
    earlier: tuple[Mapping[str, Any], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each status."""
        return counts(self.findings)


@dataclass(frozen=True)
class Record:
    """A record as it lies on the disk.

    state    ``open`` (a process works on it), ``closed`` (sealed) or ``interrupted`` (neither)
    told     the verdict that its sections amount to, whether it is sealed or not
    verdict  the same, and ``interrupted`` at best while an unsealed record has no living run
    digest   of its manifest; empty until it is closed
    """

    path: Path
    run: Mapping[str, Any]
    sections: tuple[Section, ...]
    state: str
    told: str
    verdict: str
    digest: str

    @property
    def findings(self) -> list[tuple[str, Finding]]:
        """(section, finding) for every finding."""
        return [(section.name, finding) for section in self.sections for finding in section.findings]

    @property
    def changes(self) -> int:
        """Changes made (apply) or found to be needed (plan), over all sections."""
        return sum(section.changes for section in self.sections)

    @property
    def facts(self) -> dict[str, Any]:
        """The server's identity: what the sections found out. The later one wins, but what was before was before."""
        known: dict[str, Any] = {}
        for section in self.sections:
            for key, value in section.facts.items():
                if key not in known or (value is not None and not key.endswith("_before")):
                    known[key] = value
        return known


def load(record: Path) -> Record:
    """Read a record, open or closed. Raises MailhostError when the folder is none."""
    run = read_json(record / RUN)
    sections = tuple(_section(read_json(file)) for file in sorted((record / SECTIONS).glob("*.json")))
    sealed = (record / MANIFEST).exists()
    told = worst([*(section.verdict for section in sections), *(["interrupted"] if missing(run, sections) else [])])
    if sealed:
        state, verdict = "closed", str(read_json(record / MANIFEST).get("verdict", told))
    elif is_alive(run.get("process", {})) or any(section.state == "open" for section in sections):
        state, verdict = "open", told
    else:
        # sealing is the last thing a run does: without it nobody vouches that everything is there
        state, verdict = "interrupted", worst((told, "interrupted"))
    return Record(record.resolve(), run, sections, state, told, verdict, _digest(record) if sealed else "")


def missing(run: Mapping[str, Any], sections: Iterable[Section]) -> list[str]:
    """The sections that the run meant to take and of which nothing is known: it ended before them."""
    known = {section.name for section in sections}
    return [name for name in run.get("planned") or () if name not in known]


def worst(verdicts: Iterable[str]) -> str:
    """The worst of the verdicts; ``interrupted`` when there is none. Sections that did not run do not count."""
    known = [verdict for verdict in verdicts if verdict != "not-run"]
    if "open" in known:
        return "open"
    return min(known, key=lambda v: VERDICTS.index(v) if v in VERDICTS else 0, default="interrupted")


def listing(records: Path, server: str | None = None) -> list[Record]:
    """The records under a folder, oldest first; what is no record is passed over."""
    return list(newest_first(records, server))[::-1]


def newest_first(records: Path, server: str | None = None) -> Iterator[Record]:
    """The same the other way round, each read when it is asked for: a server audited each night has a thousand."""
    where = records.glob(f"*/*/{RUN}") if server is None else (records / server).glob(f"*/{RUN}")
    for run in sorted(where, key=lambda file: file.parent.name, reverse=True):
        try:
            yield load(run.parent)
        except MailhostError:
            continue


def _section(values: Mapping[str, Any]) -> Section:
    state, verdict = str(values.get("state", "open")), values.get("verdict")
    error = values.get("error")
    if state == "open" and not is_alive(values):
        state, verdict = "interrupted", "interrupted"
        error = error or "the run ended before the section's last cell; what it had begun may be half done."
    return Section(
        name=str(values["name"]),
        title=str(values.get("title") or ""),
        state=state,
        verdict=str(verdict or ("open" if state == "open" else "unknown")),
        mode=str(values.get("mode") or ""),
        changes=int(values.get("changes") or 0),
        seconds=float(values.get("seconds") or 0),
        round_trips=int(values.get("round_trips") or 0),
        connections=int(values.get("connections") or 0),
        started=values.get("started"),
        ended=values.get("ended"),
        findings=tuple(_finding(item) for item in values.get("findings") or ()),
        facts=values.get("facts") or {},
        error=error,
        earlier=tuple(values.get("earlier") or ()),
    )


def _finding(values: Mapping[str, Any]) -> Finding:
    return Finding(**{**values, "evidence": tuple(values.get("evidence") or ())})


def _digest(record: Path) -> str:
    try:
        return (record / DIGEST).read_text(encoding="ascii").split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
