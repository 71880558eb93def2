"""The one object that a notebook holds: look, probe, plan, apply, check, verdict.

A notebook's first code cell makes a `Run`, its last one asks for the verdict. In between each cell is one
step. Checks collect; only the last cell raises, since papermill leaves everything after an error undone and the
record would lose it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailhost import given, names, pki, policy
from mailhost import host as ssh
from mailhost.changes import Change
from mailhost.checks import surroundings
from mailhost.checks import tls as tls_checks
from mailhost.dovecot import dialect
from mailhost.dovecot.settings import Dialect
from mailhost.errors import ConnectionLost, MailhostError, UnsupportedError
from mailhost.facts import clock, kept_certificate, packages, service, system
from mailhost.facts.bans import Bans
from mailhost.facts.dovecot import Dovecot
from mailhost.families import Family, family_of
from mailhost.finding import STATUS_ORDER, Finding
from mailhost.probes import matrix, stories
from mailhost.probes.dialogue import Dialogue
from mailhost.query import Fact, Query, look
from mailhost.sheet import PORTS, Sheet
from mailhost.transcript import Transcript, now
from runbook import gate, parameters, sections, servers, views
from runbook import record as records
from runbook.acting import Proof, act
from runbook.clients import NEED_LOGIN, Clients, Story, services_of

_DIGEST = 64  # characters of a SHA-256
if TYPE_CHECKING:
    import pandas as pd

# Dovecot ends what is left of its processes 5 s after a reload, idle sessions at once or after 10 s.
_GRACE = 12
# What is wrong whatever is planned: none of our changes mends it.
_NOT_MENDED = frozenset(
    {
        *("wrong-password-refused", "unknown-user-refused", "expired-account-refused"),
        *("trusted-networks", "starttls-injection", "crypto-policy"),
    }
)
_BAD = ("no-go", "failed", "unknown", "interrupted")


class VerdictError(MailhostError):
    """A section's verdict is not as wanted; raised by its last cell."""


@dataclass
class Run:
    """One section on one server: what is wanted, the open connection, and what was found so far."""

    section: str
    title: str
    asked: parameters.Parameters
    record: Path
    alone: bool
    transcript: Transcript
    host: ssh.Host
    system: system.System
    clock: clock.Clock
    family: Family
    began: float = field(default_factory=time.monotonic)
    findings: list[Finding] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    pending_on: str = ""
    problem: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    _seen: dict[str, Any] = field(default_factory=dict)
    _connected: int = 0
    _changed: float = 0

    @property
    def want(self) -> Sheet:
        """The sheet: what the server should be."""
        return self.asked.want

    @property
    def applying(self) -> bool:
        """Whether changes are made, and not only shown."""
        return self.asked.mode == "apply"

    @property
    def policy(self) -> policy.Policy:
        """What counts as good enough for TLS: parameters/tls_policy.yaml."""
        return policy.shipped()

    @property
    def since(self) -> int:
        """When this section began, by the server's own clock, in seconds since 1970."""
        return self.clock.now

    @cached_property
    def clients(self) -> Clients:
        """The mail clients that the probes are."""
        known = records.load(self.record)
        planned = known.run.get("planned") or []
        own = self.want.test_account is not None
        return Clients(
            self.host,
            self.want,
            self.addresses,
            failed=max((s.facts.get("failed_logins", 0) for s in known.sections), default=0),
            thorough=self.asked.thorough,
            later=next((name for name in planned if name > self.section and name.startswith("06") and own), ""),
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """The server's addresses as clients reach them: the sheet's, else what its mail names resolve to."""
        found = self.want.addresses or [address for answer in self.resolved.values() for address in answer.addresses]
        return tuple(dict.fromkeys(found)) or (self.host.address,)

    @cached_property
    def resolved(self) -> dict[str, names.Resolved]:
        """What the resolver says about the mail names."""
        return names.ask(self.want.mail_names, self.want.resolver)

    @property
    def now(self) -> datetime:
        """The time by this machine's clock, which certificates are judged by."""
        return datetime.now(UTC)

    @cached_property
    def given(self) -> given.Given | None:
        """What the certificate's files hold, here or on the server; None when the sheet names none."""
        tls = self.want.tls
        if tls is None or tls.renewed_by is None:
            return given.read(tls)
        with self._guarded():
            (found,) = look(self.host, self.want, self.family, kept_certificate.query)
        return given.kept(tls, found.pem, found.public_key, found.key_state, found.problem)

    @property
    def pair(self) -> pki.Pair | None:
        """Certificate and key as they would be installed; None when they do not fit together."""
        return self.given.pair if self.given else None

    @property
    def intended(self) -> tuple[str, ...]:
        """The SHA-256 fingerprints of what should be sent: the leaf, then its intermediates."""
        return (self.pair.fingerprint, *(pki.fingerprint(c) for c in self.pair.chain)) if self.pair else ()

    # Reading

    def gather(self, *queries: Query[Any]) -> None:
        """Read many facts in one round trip; the cells that follow look at them one by one."""
        with self._guarded():
            values = look(self.host, self.want, self.family, *queries)
        self._seen |= {query.name: value for query, value in zip(queries, values, strict=True)}
        views.rows(
            "Read in one round trip",
            [{"fact": query.title, "entries": _span(v)} for query, v in zip(queries, values, strict=True)],
        )

    def look(self, query: Query[Any]) -> Any:
        """One fact, shown as a table. What was gathered is used once; after that it is read anew."""
        value = self._seen.pop(query.name, None)
        if value is None:
            with self._guarded():
                (value,) = look(self.host, self.want, self.family, query)
        if isinstance(value, Dovecot):
            self.note(dovecot_after=value.version or "not installed")
        elif isinstance(value, packages.Packages):
            self.note(dovecot_after=value.dovecot_installed or "not installed")
        elif isinstance(value, Bans):
            self.clients.bannable = surroundings.allowance(value)
        elif isinstance(value, service.Service):
            self._connected = value.connected or 0
        views.fact(query.title, value)
        return value

    def table(self, title: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show rows that were put together from what is known already."""
        views.rows(title, rows)

    def frame(self, value: Any) -> pd.DataFrame:
        """A fact, or what clients saw, as a pandas DataFrame: to sort and filter by hand."""
        return views.frame(value)

    def dialect(self, known: packages.Packages) -> Dialect:
        """The language of the Dovecot that is there, or that would be installed. Raises UnsupportedError."""
        version = self.system.dovecot_version or known.candidate_dovecot
        if version is None:
            raise UnsupportedError(
                "no Dovecot is installed and the package manager offers none",
                remedy="see package-candidate in section 01; look at the server's package sources.",
            )
        return dialect(version)

    def probe(self, story: Story, *services: str, origin: str | None = None) -> tuple[Any, ...]:
        """Be a client of these services, at every address, from outside; ``origin="loopback"`` goes through SSH.

        A story that needs an account is skipped when there is none; the verdict names that once.
        """
        if self.pending_on:
            views.rows("", [{"skipped": f"pending {self.pending_on}"}])
            return ()
        if story in NEED_LOGIN and self.clients.login is None:
            self._skip_without_account()
            return ()
        with self._guarded():
            results = self.clients.probe(story, services or tuple(PORTS), origin or self.want.probe_from)
        if self.clients.failed:
            self.note(failed_logins=self.clients.failed)
        if story is matrix.matrix:
            views.matrix(_title(story), results)
        else:
            views.probe(_title(story), results)
        return results

    def served(self, found: Dovecot) -> tuple[str, ...]:
        """The services that this Dovecot serves now: those over TLS only once TLS is set up."""
        return services_of(self.want, tls=found.serves_tls)

    def prove_tls(self) -> list[Finding]:
        """Shake hands with each port through SSH, past any firewall, and compare certificates with the sheet's."""
        seen = self.clients.probe(stories.handshake, services_of(self.want, tls=True), "loopback")
        return [*tls_checks.handshake(seen), *tls_checks.certificate(seen, self.intended)]

    def prove_served(self) -> list[Finding]:
        """Shake hands with each port through SSH and, where it is open, at each address from outside.

        Each must serve exactly the sheet's certificate and chain, and a client that has the root must believe it.
        """
        services = services_of(self.want, tls=True)
        inside = self.clients.probe(stories.handshake, services, "loopback")
        outside = self.clients.probe(stories.handshake, services, self.want.probe_from)
        seen = [*inside, *outside]
        return [
            *tls_checks.handshake(seen),
            *tls_checks.certificate(seen, self.intended),
            *tls_checks.chain(seen, self.intended),
            *tls_checks.verified(seen),
        ]

    def hold(self) -> None:
        """Log in by each protocol and stay connected, while the changes that follow are made; in plan mode nobody."""
        login = self.clients.login
        if self.pending_on or not self.applying or login is None:
            views.rows("", [{"skipped": f"pending {self.pending_on}" if self.pending_on else "nothing is changed"}])
            return
        views.probe("Sessions that stay open", self.clients.hold(login))

    def held(self) -> tuple[Dialogue, ...]:
        """Say NOOP in the sessions that were held open, and end them.

        Not before Dovecot would have ended them: it gives the processes of before a reload some seconds.
        """
        if self._changed:
            time.sleep(max(0.0, self._changed + _GRACE - time.monotonic()))
        results = self.clients.ask_held()
        views.probe("The same sessions afterwards", results)
        return results

    # The account for tests

    def account(self, *, temporary: bool, expired: bool = False) -> None:
        """Make ready the account for the login checks; with ``expired``, where it is temporary, one that has ended.

        A temporary one is removed at the end of the section, and by the server itself should this run die; else
        it is the sheet's test_account, or none.
        """
        with self._guarded():
            if temporary and not self.pending_on:
                name = self.clients.use_temporary(self.section, expired=expired, dead=self._left_behind())
                self.note(temporary=self.clients.temporary)
                self._save()
                kind = "temporary, removed at the end of this section; cannot log in by SSH"
            else:
                name, kind = self.clients.use_own(), "the sheet's test_account"
        if not name:
            self._skip_without_account()
            name, kind = "none", "login checks are skipped"
        views.rows("Account for the tests", [{"account": name, "kind": kind}])

    def _skip_without_account(self) -> None:
        if not any(finding.id == "test-account" for finding in self.findings):
            self._collect(
                Finding(
                    id="test-account",
                    title="There is an account to log in with",
                    status="skip",
                    severity="low",
                    expected="a test account",
                    actual="none",
                    message="no test account: nothing that needs a login was checked.",
                    remedy="name a test_account in the sheet, or run `runbook audit SERVER --canary`.",
                )
            )

    # Deciding and acting

    def require(self, section: str, holds: object) -> None:
        """What an earlier section leaves behind must be there: else this one is pending on it."""
        if holds or self.pending_on:
            return
        if self.applying:
            self._collect(
                Finding(
                    id="prerequisite",
                    title=f"Section {section} was applied before this one",
                    status="fail",
                    severity="critical",
                    expected=section,
                    actual="not applied",
                    message=f"what {section} leaves behind is not there, so this section cannot work.",
                    remedy=f"`runbook run {self.want.name} --mode apply` applies all sections in their order.",
                    blocking=True,
                )
            )
        self._pend(section)

    def _pend(self, section: str) -> None:
        self.pending_on = section
        self._collect(
            Finding(
                id="pending",
                title=f"Section {section} comes first",
                status="skip",
                severity="low",
                subject=section,
                expected="applied",
                actual="not applied yet",
                message=f"pending {section}: its changes are not made yet, so there is nothing to check here.",
                remedy="apply the earlier section.",
            )
        )

    def plan(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """Show what would change, exactly; nothing is changed by this."""
        planned = tuple(changes)
        views.changes(planned, "planned", connected=self._connected)
        if not self.applying:
            self.changes += planned
        return planned

    def apply(self, planned: Sequence[Change], prove: Proof | None = None) -> None:
        """Make the changes, in plan mode none. What fails, or does not prove itself, is undone at once.

        ``prove`` looks from outside afterwards; a fail or an unknown in its findings undoes all of these changes.
        """
        if not self.applying or not planned:
            views.changes(planned, "not made", why="plan" if planned else "")
            return
        if any(finding.status == "fail" and finding.blocking for finding in self.findings):
            self.problem = self.problem or "a blocking condition of preflight does not hold"
        if self.problem:
            views.changes(planned, "not made", why=self.problem)
            return
        with self._guarded():
            outcome = act(self.host, planned, prove)
        self._seen.clear()
        self._changed = time.monotonic()
        views.changes(planned, "applied" if outcome.made else "undone", why=outcome.why)
        if outcome.made:
            self.changes += planned
        else:
            self.problem = "an earlier change of this section failed"
        self.findings += outcome.findings
        self._save()

    # Judging

    def check(self, findings: Iterable[Finding]) -> None:
        """Keep findings and show them. While changes are only planned, what fails for want of them is pending."""
        if self.pending_on:
            views.rows("", [{"skipped": f"pending {self.pending_on}"}])
            return
        kept = [self._as_pending(finding) for finding in findings]
        self.findings += kept
        views.findings(kept)
        self._save()

    def _as_pending(self, finding: Finding) -> Finding:
        if self.applying or not self.changes or finding.status not in ("fail", "unknown"):
            return finding
        if finding.status == "fail" and finding.id in _NOT_MENDED:
            return finding
        return dataclasses.replace(
            finding,
            status="skip",
            message=f"pending: {len(self.changes)} changes of this section are planned and not made. Now: "
            + finding.message,
        )

    def _collect(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._save()

    def note(self, **facts: Any) -> None:
        """Keep facts about the server's identity and state in the record."""
        self.facts |= facts

    def since_last(self, state: Mapping[str, Any]) -> None:
        """Show what is different from the last record of this server, and keep the state for the next one."""
        others = records.newest_first(self.record.parent.parent, self.want.name)
        earlier = (known for known in others if known.path != self.record.resolve() and known.facts.get("state"))
        last = next(earlier, None)
        state = {**state, "finding": _worst(self.findings)}
        self.facts["state"] = state
        if last is None:
            views.rows("Since the last record", [{"what": "there is no earlier record of this server"}])
            return
        before = last.facts["state"]
        rows = [
            {"what": f"{kind}: {name}", "then": _brief(old.get(name)), "now": _brief(new.get(name))}
            for kind in state
            for old, new in [(before.get(kind) or {}, state[kind])]
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
        self.facts["compared_with"] = last.path.name
        title = f"Since the record {last.path.name} ({last.verdict})"
        views.rows(title, rows or [{"what": "nothing is different"}])

    def verdict(self) -> None:
        """End the section: worst findings first, each with its remedy. Raises VerdictError when it is not well."""
        with self._guarded():
            self._remove_account()
        verdict = self._verdict()
        self._finish(verdict)
        views.verdict(verdict, self.findings, changes=len(self.changes), mode=self.asked.mode)
        if self.alone:
            digest = records.close(self.record)
            views.rows("Record", [{"record": str(self.record), "manifest (SHA-256)": digest}])
        if verdict in _BAD:
            worst = [
                f"{f.id} {f.subject}: {f.message}".strip() for f in self.findings if f.status in ("fail", "unknown")
            ]
            raise VerdictError(
                f"{self.section} on {self.want.name}: {verdict}",
                follows="; ".join(worst[:3]) + (f" and {len(worst) - 3} more" if len(worst) > 3 else ""),  # noqa: PLR2004
                remedy="each finding above says what to do.",
            )

    def _verdict(self) -> str:
        blocked = any(finding.status == "fail" and finding.blocking for finding in self.findings)
        if blocked and not self.section.startswith("06"):  # an audit stops nobody
            return "no-go"
        for status, verdict in (("fail", "failed"), ("unknown", "unknown")):
            if any(finding.status == status for finding in self.findings):
                return verdict
        return "pending" if self.pending_on or (self.changes and not self.applying) else "as-wanted"

    # The record

    def _save(self, **more: Any) -> None:
        records.write_section(
            self.record,
            {
                "name": self.section,
                "changes": len(self.changes),
                "seconds": round(time.monotonic() - self.began, 2),
                "round_trips": self.host.round_trips,
                "connections": self.host.connections,
                "findings": [finding.as_dict() for finding in self.findings],
                "facts": self.facts,
            }
            | more,
        )

    def _finish(self, verdict: str, error: str | None = None) -> None:
        self._save(state="closed", verdict=verdict, ended=now(), error=error)
        self.clients.close()
        self.host.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """An error ends the section truthfully: it is in the record before the cell shows it."""
        try:
            yield
        except MailhostError as error:
            if not isinstance(error, ConnectionLost):
                self._try_to_remove_account()
            self._finish("failed", str(error))
            if self.alone:
                records.close(self.record)
            raise

    def _left_behind(self) -> list[str]:
        """Temporary accounts of runs on this server that have ended and did not come to remove them."""
        others = records.listing(self.record.parent.parent, self.want.name)
        return [
            name
            for known in others
            if known.state != "open" and known.path != self.record.resolve()
            for section in known.sections
            for name in section.facts.get("temporary") or ()
        ]

    def _remove_account(self) -> None:
        removed = self.clients.remove_temporary()
        self.findings += removed
        if all(finding.status == "pass" for finding in removed):
            self.facts.pop("temporary", None)

    def _try_to_remove_account(self) -> None:
        try:
            self._remove_account()
        except MailhostError as error:
            self.transcript.add("note", text=f"the temporary account stays until its timer removes it: {error.what}")


def start(section: str, namespace: Mapping[str, Any]) -> Run:
    """Check the parameters, open the record, connect, and find out what kind of server it is.

    ``namespace`` is the notebook's ``globals()``. Raises SheetError before anything is connected to, ConnectError or
    UnsupportedError before anything is changed.
    """
    asked = parameters.check(namespace, namespace.get("In", ()))
    policy.shipped()  # one that cannot be read is told of before anything is connected to
    title = sections.heading(servers.root() / "notebooks" / f"{section}.ipynb")
    record = asked.record or records.create(
        servers.records_folder(),
        asked.want.name,
        section=section,
        mode=asked.mode,
        ticket=asked.ticket,
        note=asked.note,
    )
    alone = asked.record is None
    views.start(section, title, asked.want.name, asked.mode, record)
    records.open_section(record, section, title=title, mode=asked.mode)
    records.write_sheet(record, asked.want)
    transcript = Transcript(record / "transcript.jsonl", section=section)
    began = time.monotonic()
    host = None
    try:
        host = ssh.connect(asked.want, transcript)
        known, time_there = look(host, asked.want, None, system.query, clock.query)
        family = family_of(known.os_release)
    except MailhostError as error:
        records.write_section(
            record,
            {
                "name": section,
                "state": "closed",
                "verdict": "no-go" if section.startswith("01") else "failed",
                "ended": now(),
                "seconds": round(time.monotonic() - began, 2),
                "round_trips": host.round_trips if host else 0,
                "connections": host.connections if host else 0,
                "error": str(error),
            },
        )
        if host:
            host.close()
        if alone:
            records.close(record)
        raise
    run = Run(section, title, asked, record, alone, transcript, host, known, time_there, family, began)
    run.note(
        distribution=known.os_release.get("PRETTY_NAME", ""),
        kernel=known.kernel,
        machine_id=known.machine_id,
        host_key=host.host_key,
        addresses=[host.address, *(a for a in run.addresses if a != host.address)],
        dovecot_before=known.dovecot_version or "not installed",
    )
    views.rows("Server", [{"what": key, "value": value} for key, value in run.facts.items()])
    run._save()  # noqa: SLF001  # the same module
    _resume(run)
    return run


def _resume(run: Run) -> None:
    """Take in what earlier sections of the same record say; re-check what blocks when there is none."""
    if run.section.startswith(("01", "06")) and not run.asked.record:
        return
    earlier = {} if run.alone else {section.name: section for section in records.load(run.record).sections}
    if not run.applying:
        waiting = sorted(name for name, known in earlier.items() if name < run.section and known.verdict == "pending")
        if waiting and not run.section.startswith(("02", "03", "05")):
            run._pend(waiting[0])  # noqa: SLF001
        return
    gone = [known for name, known in earlier.items() if name.startswith("01") and known.verdict == "as-wanted"]
    if not gone and not run.section.startswith("01"):
        with run._guarded():  # noqa: SLF001
            run.check(gate.findings(run))


def _title(story: Callable[..., Any]) -> str:
    """The first line of a story's docstring is what a person is told."""
    return (story.__doc__ or story.__name__).strip().splitlines()[0].replace("`", "").removesuffix(".")


def _worst(findings: Iterable[Finding]) -> dict[str, str]:
    """The worst status of each finding, whatever its subjects are."""
    ordered = sorted(findings, key=lambda finding: STATUS_ORDER[finding.status], reverse=True)
    return {finding.id: finding.status for finding in ordered}


def _brief(value: Any) -> str:
    """A digest by its beginning, as people compare them; the whole of it is in the record."""
    text = "-" if value is None else str(value)
    return f"{text[:12]}..." if len(text) == _DIGEST and not text.strip("0123456789abcdef") else text


def _span(value: Fact) -> str:
    first, last = (value.evidence[0], value.evidence[-1]) if value.evidence else ("", "")
    return str(first) if first == last else f"{first} to {last}"
