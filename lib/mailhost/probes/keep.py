"""Probe results into the transcript; what comes back knows its entry's number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from mailhost.probes.dialogue import Dialogue
from mailhost.probes.exchange import Exchange
from mailhost.probes.offers import Ciphers, Versions
from mailhost.probes.reach import Reach
from mailhost.probes.tls import TlsSeen
from mailhost.transcript import Transcript

P = TypeVar("P", Dialogue, Reach, TlsSeen, Versions, Ciphers)


def keep(transcript: Transcript, results: Iterable[P]) -> list[P]:
    """Write each result into the transcript and return them with their evidence; what was not tried has none."""
    kept = []
    for result in results:
        entry = _entry(result)
        if entry is None:
            kept.append(result)
            continue
        kind, values = entry
        kept.append(replace(result, evidence=(transcript.add(kind, **values),)))
    return kept


def keep_exchange(transcript: Transcript, result: Exchange) -> Exchange:
    """Write both conversations of an exchange into the transcript and return it with their evidence."""
    first, *rest = keep(transcript, result.dialogues)
    return replace(result, imap=first, pop3=rest[0] if rest else None)


def _entry(result: Dialogue | Reach | TlsSeen | Versions | Ciphers) -> tuple[str, dict[str, Any]] | None:
    target = str(result.target)
    if isinstance(result, Reach):
        return "reach", {
            "target": target,
            "state": result.state,
            "reason": result.reason,
            "ms": result.ms,
            "greeting": result.greeting,
        }
    if isinstance(result, TlsSeen):
        return "tls", {"target": target, "command": result.command, "error": result.error, "output": result.output}
    if isinstance(result, Versions):
        said = [f"{version}: {reply.answer}: {reply.how}" for version, reply in result.replies]
        return "hello", {"target": target, "said": said}
    if isinstance(result, Ciphers):
        return "hello", {"target": target, "said": list(result.said)}
    if result.untried:
        return None
    return "dialogue", {
        "target": target,
        "story": result.story,
        "started": result.started,
        "lines": [f"{line.ms:>6} {line.who} {line.text}" for line in result.lines],
        "error": result.error,
    }
