"""The outcome of a run on one server: a folder with notebooks, transcript, findings and a sealed manifest.

``create`` makes it, each section opens and closes itself in it (`open_section`, `write_section`), ``close`` seals it:
every file hashed in ``manifest.json``, read-only, and the manifest's own digest beside it. ``verify`` tells what
was changed since.
"""

from __future__ import annotations

from runbook.record.attach import add
from runbook.record.check import Problem, verify
from runbook.record.folder import create, write_sheet
from runbook.record.result import Record, Section, listing, load, newest_first, worst
from runbook.record.seal import close, digest_of
from runbook.record.sections import open_section, skip_section, write_section

__all__ = [
    "Problem",
    "Record",
    "Section",
    "add",
    "close",
    "create",
    "digest_of",
    "listing",
    "load",
    "newest_first",
    "open_section",
    "skip_section",
    "verify",
    "worst",
    "write_section",
    "write_sheet",
]
