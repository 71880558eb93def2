"""Mail clients at work: where they go, whom they log in as, and what they see, kept in the transcript."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from mailhost import accounts, changes
from mailhost.finding import Finding
from mailhost.host import Host, Result, numbered
from mailhost.probes import held, matrix, stories
from mailhost.probes.dialogue import Conversation, Dialogue
from mailhost.probes.keep import keep
from mailhost.probes.parallel import parallel
from mailhost.probes.reach import from_jump
from mailhost.probes.target import Target, by_other_names, targets
from mailhost.probes.wire import Trust
from mailhost.sheet import PORTS, Sheet, secret

Story = Callable[..., Sequence[Any]]
NEED_LOGIN: tuple[Story, ...] = (stories.login, stories.refuse, stories.exchange, matrix.matrix)
# What a good server never looks at, and what a bad one counts as a failed login.
_CAREFUL: dict[Story, Story] = {stories.refuse: matrix.refuse, stories.starttls: matrix.starttls}
_REACH_SECONDS = 5
_BEHIND_A_FIREWALL = ("timeout", "unreachable")


@dataclass
class Clients:
    """Clients of one server: at its addresses from outside, or through SSH at its loopback.

    ``login`` is None until there is an account. The ways through SSH stay open until `close`.

    failed    failed logins of this run so far, those of earlier sections with them
    thorough  whether more of them may be made than the sheet says
    later     the section of this run that logs in after this one, and makes all but one of the failed logins therefore
    bannable  how many failed logins get this machine banned, less one; None when nobody bans
    """

    host: Host
    want: Sheet
    addresses: tuple[str, ...]
    failed: int = 0
    thorough: bool = False
    later: str = ""
    bannable: int | None = None
    login: stories.Login | None = None
    _temporary: tuple[accounts.Account, ...] = ()
    _expired: stories.Login | None = None
    _silent: set[tuple[str, str]] = field(default_factory=set)
    _ways: ExitStack = field(default_factory=ExitStack)
    _held: tuple[Conversation, ...] = ()

    def probe(self, story: Story, services: Iterable[str], origin: str) -> tuple[Any, ...]:
        """What the clients of a story saw, in the transcript already.

        Ports that a `stories.reach` before this found behind a firewall are left alone: ``port-open`` has told of them.
        """
        everywhere = story is stories.reach
        aimed = tuple(
            target
            for target in self._targets(services, origin, everywhere=everywhere)
            if everywhere or (target.service, target.address) not in self._silent
        )
        if story is stories.handshake:
            aimed += by_other_names(aimed, self.want.mail_names[1:])
        if everywhere and origin == "jump":
            seen: Sequence[Any] = [
                from_jump(target, self.host.reach_from_jump(target.address, target.port, _REACH_SECONDS), 0)
                for target in aimed
            ]
        elif story is matrix.matrix and self.login is not None:
            seen = matrix.matrix(aimed, self.login, self._expired, self._budget())
        elif story in _CAREFUL:
            seen = _CAREFUL[story](aimed, self._who(), self._budget())
        else:
            seen = story(aimed, self._who())
        self.failed += matrix.failed([d for d in seen if isinstance(d, Dialogue)])
        results = tuple(keep(self.host.transcript, seen))
        if everywhere:
            # behind a firewall each question may take its whole time limit, one that rejects included: it tires of it
            self._silent = {(r.target.service, r.target.address) for r in results if r.state in _BEHIND_A_FIREWALL}
        return results

    def _targets(self, services: Iterable[str], origin: str, *, everywhere: bool) -> tuple[Target, ...]:
        """Only ports that are meant to be open are spoken to; ``everywhere`` takes the others in as well."""
        name = self.want.mail_names[0]
        wanted = [s for s in services if everywhere or s.removesuffix("s") in self.want.protocols]
        if origin == "loopback":
            inside = _inside(self.want)
            return tuple(
                dataclasses.replace(
                    target, via=self._ways.enter_context(self.host.forward(target.port, address=inside))
                )
                for target in targets(name, (inside,), wanted, origin="loopback")
            )
        opened = [s for s in wanted if everywhere or self.want.firewall.wanted()[s] == "open"]
        if origin == "here" or everywhere:
            return targets(name, self.addresses, opened, origin="jump" if origin == "jump" else "here")
        return tuple(
            dataclasses.replace(
                target,
                via=self._ways.enter_context(self.host.forward(target.port, address=target.address, origin="jump")),
            )
            for target in targets(name, self.addresses, opened, origin="jump")
        )

    def _budget(self) -> matrix.Budget:
        """How many failed logins are left to this run."""
        total = None if self.thorough else self.want.failed_logins
        why = f"beyond the budget of {total} failed logins a run: each costs this machine's address seconds there"
        if self.bannable is not None and (total is None or self.bannable < total):
            total, why = self.bannable, "more failed logins would get this machine banned"
        budget = matrix.Budget(total, why).left(self.failed)
        if not self.later:
            return budget
        # an expired account is there only now
        why = f"left to {self.later}: failed logins come after all logins that should work"
        return matrix.Budget(min(1, 1 if budget.failed is None else budget.failed), why, ("expired",))

    def _who(self) -> stories.Login:
        return self.login or stories.Login("", "", self._trust())

    def _trust(self) -> Trust:
        return Trust(roots=self.want.tls.trust if self.want.tls else None)

    def hold(self, login: stories.Login) -> tuple[Dialogue, ...]:
        """Log in by each protocol, from outside where that is open, and stay: what was said so far."""
        aimed = []
        for protocol in self.want.protocols:
            ways = (f"{protocol}s", protocol)
            outside = [
                t
                for t in self._targets(ways, self.want.probe_from, everywhere=False)
                if (t.service, t.address) not in self._silent
            ]
            able = outside or self._targets(ways, "loopback", everywhere=False)
            aimed.append(max(able, key=lambda target: target.implicit_tls))
        self._held = tuple(
            parallel([(held.hold, (target, login.name, login.password, login.trust)) for target in aimed])
        )
        return tuple(session.told() for session in self._held)

    def ask_held(self) -> tuple[Dialogue, ...]:
        """Whether the sessions that were held open still answer; they end by it."""
        waiting, self._held = self._held, ()
        return tuple(keep(self.host.transcript, parallel([(held.ask, (session,)) for session in waiting])))

    def use_temporary(self, run: str, *, expired: bool = False, dead: Iterable[str] = ()) -> str:
        """Make a temporary account, after the leftovers of dead runs are gone; with ``expired`` a second one.

        ``dead`` are accounts of runs that are known to have ended. Raises CommandError.
        """
        made = accounts.temporary(run)
        ended = accounts.temporary(run, expired=True) if expired else None
        self._temporary = (made,) if ended is None else (made, ended)
        creating = [command for account in self._temporary for command in accounts.create(account)]
        commands = (*accounts.remove_leftovers(dead), *changes.forget_old(), *creating)
        for result in self.host.batch(numbered(commands), stop=True).values():
            result.checked()
        self.login = stories.Login(made.name, made.password, self._trust())
        self._expired = stories.Login(ended.name, ended.password, self._trust()) if ended else None
        return made.name

    @property
    def temporary(self) -> tuple[str, ...]:
        """The temporary accounts that are there now."""
        return tuple(account.name for account in self._temporary)

    def use_own(self) -> str:
        """Use the sheet's test account; empty when there is none. Raises SheetError."""
        own = self.want.test_account
        if own is None:
            return ""
        word = secret(own.password, login=own.name, what=own.word)
        self.login = stories.Login(own.name, word, self._trust())
        return own.name

    def remove_temporary(self) -> list[Finding]:
        """Remove the temporary accounts, if there are any; a second call has nothing to do."""
        made, self._temporary, self.login, self._expired = self._temporary, (), None, None
        if not made:
            return []
        results = self.host.batch(numbered([command for account in made for command in accounts.remove(account)]))
        return [_removed(account.name, result) for account, result in zip(made, results.values(), strict=True)]

    def close(self) -> None:
        """Close the sessions that are still held, and the ways through SSH."""
        for session in self._held:
            session.close()
        self._ways.close()


def _inside(want: Sheet) -> str:
    """Where Dovecot is reached from the server itself; from an address to itself counts as secured, as the loopback."""
    listen = want.listen or ["*"]
    return "127.0.0.1" if "*" in listen else "::1" if "::" in listen else listen[0]


def services_of(want: Sheet, *, tls: bool) -> tuple[str, ...]:
    """The services of the sheet's protocols; those over TLS only where TLS is served."""
    return tuple(s for s in PORTS if s.removesuffix("s") in want.protocols and (tls or not s.endswith("s")))


def _removed(name: str, result: Result) -> Finding:
    gone = result.ok
    return Finding(
        id="temporary-account-removed",
        title="The temporary account is gone",
        status="pass" if gone else "fail",
        severity="high",
        subject=name,
        expected="removed",
        actual="removed" if gone else result.error().what,
        message="" if gone else f"the temporary account {name} could not be removed.",
        remedy="" if gone else f"userdel -r {name} on the server; the next run removes it too.",
        evidence=(result.n,),
    )
