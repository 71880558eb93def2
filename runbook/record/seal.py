"""Closing a record: scanned for secrets, rendered, hashed, made read-only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mailhost import redact, sheet
from mailhost.errors import MailhostError, SheetError
from mailhost.finding import counts
from mailhost.transcript import now as timestamp
from runbook.record.folder import DIGEST, MANIFEST, SECTIONS, SHEET, is_alive, read_json, write, write_json
from runbook.record.provenance import git_state, versions
from runbook.record.result import Record, load, missing

FINDINGS = "findings.json"
INDEX = "index.html"
_SEALS = frozenset({MANIFEST, DIGEST})
_OF_JUPYTER = (".ipynb_checkpoints", ".virtual_documents", ".jupyter_ystore.db", ".Trash-0")
_JSON = (".json", ".jsonl", ".ipynb")
_WRITTEN = 0o400


def close(record: Path) -> str:
    """Seal a record and return its manifest's SHA-256, which is the one thing to keep elsewhere.

    Writes findings.json, the HTML of each notebook, index.html, manifest.json and manifest.sha256, and makes every
    file 0400. A closed record is left as it is. Raises MailhostError when a section still runs, or a file
    holds a secret: then nothing is sealed.
    """
    if (record / MANIFEST).exists():
        return digest_of(record)
    for name in _OF_JUPYTER:
        for left in record.rglob(name):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    _settle(record)
    return seal(record)


def seal(record: Path) -> str:
    """Render, hash and write-protect what is there now; `close` and `add` end with it."""
    from runbook import render  # here, since nbconvert costs half a second and most callers only read

    closed = load(record)
    _refuse_secrets(record)
    pages = {
        notebook.with_suffix(".html"): redact.redact(render.notebook(notebook, back=INDEX))
        for notebook in sorted(record.glob("*.ipynb"))
    }
    # whatever may go wrong has gone wrong by now: only then is an earlier seal broken
    for seals in _SEALS:
        (record / seals).unlink(missing_ok=True)
    write_json(record / FINDINGS, [{"section": section} | finding.as_dict() for section, finding in closed.findings])
    for page, text in pages.items():
        write(page, text)
    manifest = _manifest(closed)
    write(record / INDEX, redact.redact(render.index(closed, manifest, file_rows(record, without={INDEX}))))
    manifest["files"] = {name: row["sha256"] for name, row in file_rows(record).items()}
    write_json(record / MANIFEST, manifest)
    digest = digest_of(record)
    write(record / DIGEST, f"{digest}  {MANIFEST}\n")  # as sha256sum -c reads it
    for file in files(record):
        file.chmod(_WRITTEN)
    return digest


def digest_of(record: Path) -> str:
    """The SHA-256 of a record's manifest. Raises MailhostError when the record is not closed."""
    try:
        return sha256(record / MANIFEST)
    except OSError:
        raise MailhostError(
            f"{record} has no {MANIFEST}", follows="it is not closed.", remedy=f"close it: `runbook close {record}`."
        ) from None


def files(record: Path) -> Iterator[Path]:
    """Every file of a record, links and hidden ones too, in a stable order."""
    yield from sorted(path for path in record.rglob("*") if path.is_symlink() or not path.is_dir())


def file_rows(record: Path, *, without: set[str] | frozenset[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Name to size and SHA-256 of every file that a manifest lists: all but the seals themselves."""
    return {
        name: {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in files(record)
        if (name := file.relative_to(record).as_posix()) not in _SEALS | without
    }


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _settle(record: Path) -> None:
    """Write down truthfully how each section ended, also where its process could not."""
    known = load(record)
    running = [section.name for section in known.sections if section.state == "open"]
    if running:
        raise MailhostError(
            f"section {', '.join(running)} of {record} still runs",
            follows="its record cannot be closed.",
            remedy="wait for it, or stop it (Ctrl-C where it runs, or Kernel > Shut Down in JupyterLab) and try again.",
        )
    run = known.run.get("process", {})
    if missing(known.run, known.sections) and run.get("pid") != os.getpid() and is_alive(run):
        raise MailhostError(
            f"the run of {record} is still under way (process {run.get('pid')})",
            follows="its record cannot be closed.",
            remedy="wait for it, or stop it with Ctrl-C: it closes its record itself.",
        )
    for section in known.sections:
        if section.state == "interrupted":
            file = record / SECTIONS / f"{section.name}.json"
            told = {"state": "interrupted", "verdict": "interrupted", "error": section.error}
            write_json(file, read_json(file) | told)


def _refuse_secrets(record: Path) -> None:
    if (record / SHEET).exists():
        _learn_secrets(read_json(record / SHEET))
    holding = [
        file.relative_to(record).as_posix()
        for file in files(record)
        if not file.is_symlink() and any(redact.holds_secret(text) for text in _texts(file))
    ]
    if holding:
        raise MailhostError(
            f"the record is not closed: a secret stands in {', '.join(holding)} under {record}",
            follows="whoever reads the record would learn a password or a private key.",
            remedy="take it out of the file (or delete the record), change that secret on the server, "
            f"then `runbook close {record}`.",
        )


def _texts(file: Path) -> Iterator[str]:
    """What stands in a file; of JSON the values, since keys are ours and a password may be as common a word."""
    text = file.read_text(encoding="utf-8", errors="replace")
    parts = text.splitlines() if file.suffix == ".jsonl" else [text]
    for part in parts:
        try:
            yield from _values(json.loads(part)) if file.suffix in _JSON and part.strip() else (part,)
        except ValueError:
            yield part


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _values(item)
    elif isinstance(value, str):
        yield value


def _learn_secrets(resolved: dict[str, Any]) -> None:
    """Register what the sheet's references lead to, where it can be had without asking anybody."""
    account = resolved.get("test_account") or {}
    references = [
        ((resolved.get("ssh") or {}).get("sudo_password"), "sudo password", ""),
        (account.get("password"), "test account's password", account.get("name") or ""),
    ]
    for reference, what, login in references:
        if reference and not reference.startswith("prompt:"):
            try:
                sheet.secret(reference, login=login, what=what)
            except SheetError:
                continue  # not to be had here, so it cannot have come from here either


def _manifest(record: Record) -> dict[str, Any]:
    run, facts = record.run, record.facts
    git = git_state()
    return {
        "run": run["id"],
        "server": run["server"],
        "verdict": record.told,
        "mode": run["mode"],
        "ticket": run["ticket"],
        "note": run["note"],
        "who": {"user": run["user"], "machine": run["machine"]},
        "started": run["started"],
        "ended": max((s.ended for s in record.sections if s.ended), default=None),
        "closed": timestamp(),
        "addresses": facts.get("addresses"),
        "host_key": facts.get("host_key"),
        "machine_id": facts.get("machine_id"),
        "distribution": facts.get("distribution"),
        "dovecot_before": facts.get("dovecot_before"),
        "dovecot_after": facts.get("dovecot_after"),
        # what the audit compares runs by is long and stays in the section's own file
        "facts": {key: value for key, value in facts.items() if not isinstance(value, dict)},
        "runbook": {"commit": git.commit, "modified": git.modified, "versions": versions()},
        "changes": record.changes,
        "findings": counts(finding for _, finding in record.findings),
        "seconds": round(sum(section.seconds for section in record.sections), 3),
        "round_trips": sum(section.round_trips for section in record.sections),
        "connections": sum(section.connections for section in record.sections),
        "sections": [
            {
                "name": section.name,
                "state": section.state,
                "mode": section.mode,
                "verdict": section.verdict,
                "changes": section.changes,
                "seconds": section.seconds,
                "findings": section.counts,
                "error": section.error,
            }
            for section in record.sections
        ],
    }


def manifest_of(record: Path) -> dict[str, Any]:
    """A closed record's manifest."""
    value = json.loads((record / MANIFEST).read_text(encoding="utf-8"))
    return dict(value)
