"""Makes changes on a server: all in one batch, proven from outside, and undone when anything fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailhost import changes as changing
from mailhost.changes import Change
from mailhost.errors import MailhostError
from mailhost.finding import Finding
from mailhost.host import Host, Result, numbered

Proof = Callable[[], Sequence[Finding]]


@dataclass(frozen=True)
class Outcome:
    """What came of a plan: made, or why not; ``findings`` are those of the proof, and of the failure."""

    made: bool
    why: str = ""
    findings: tuple[Finding, ...] = ()


def act(host: Host, planned: Sequence[Change], prove: Proof | None = None) -> Outcome:
    """Make the changes in order; what fails, or does not prove itself, undoes all of them at once.

    Raises ConnectionLost when the connection breaks: nothing can be undone then, and what was made was made whole.
    """
    steps = [(index, command) for index, change in enumerate(planned) for command in change.commands()]
    results = list(host.batch(numbered(command for _, command in steps), stop=True).values())
    failed = None if results[-1].ok else results[-1]
    proofs = () if failed or prove is None else _proofs(prove)
    unproven = [finding for finding in proofs if finding.status in ("fail", "unknown")]
    if failed is None and not unproven:
        host.batch(numbered(command for change in planned for command in change.forget()))
        return Outcome(made=True)
    begun = list(planned)
    if failed is not None:
        position = steps[len(results) - 1][0]
        # a guard that finds another state has not touched anything
        begun = list(planned[: position if failed.code == changing.STALE else position + 1])
    undone = list(host.batch(numbered(changing.undo(begun))).values())
    why = _why(failed, unproven)
    finding = Finding(
        id="change-applied",
        title="Every change was made and proved itself",
        status="fail",
        severity="critical",
        subject=planned[steps[len(results) - 1][0]].title if failed else "proof from outside",
        expected="applied",
        actual="undone",
        message=f"{why} {_how_left(begun, undone)}",
        remedy="read the evidence, correct the cause, and run it again.",
        evidence=tuple(result.n for result in (*results, *undone)),
    )
    return Outcome(made=False, why=why, findings=(*proofs, finding))


def _proofs(prove: Proof) -> tuple[Finding, ...]:
    """What the proof found; a proof that cannot be made proves nothing, and what was changed must be undone."""
    try:
        return tuple(prove())
    except MailhostError as error:
        return (
            Finding(
                id="change-proven",
                title="The changes prove themselves",
                status="unknown",
                severity="high",
                expected="proven",
                actual=error.what,
                message=f"whether the changes work could not be found out: {error.what}",
                remedy=error.remedy or "correct the cause and run it again.",
            ),
        )


def _why(failed: Result | None, unproven: Sequence[Finding]) -> str:
    if failed is None:
        return "It did not prove itself: " + "; ".join(f"{f.id} {f.subject}: {f.message}" for f in unproven[:3])
    if failed.code == changing.STALE:
        return "The server is no longer as it was when the change was computed: somebody else changed it meanwhile."
    return failed.error().what


def _how_left(begun: Sequence[Change], undone: Sequence[Result]) -> str:
    if any(not result.ok for result in undone):
        return "UNDOING FAILED TOO: look at the server now."
    stay = [f"{c.title} stays: {c.why_not_undone}" for c in begun if not c.undo() and c.why_not_undone]
    how = "Everything that this step had changed was undone." if begun else "Nothing had been changed by this step."
    return " ".join([how, *stay])
