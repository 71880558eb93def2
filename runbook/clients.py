"""Mail clients at work: where they go, whom they log in as, and what they see, kept in the transcript."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from mailhost import accounts, changes
from mailhost.finding import Finding
from mailhost.host import Host, numbered
from mailhost.probes import stories
from mailhost.probes.keep import keep
from mailhost.probes.reach import from_jump
from mailhost.probes.target import Target, targets
from mailhost.probes.wire import Trust
from mailhost.sheet import PORTS, Sheet, secret

Story = Callable[..., Sequence[Any]]
NEED_LOGIN: tuple[Story, ...] = (stories.login, stories.wrong, stories.refuse, stories.exchange)
_REACH_SECONDS = 5


@dataclass
class Clients:
    """Clients of one server: at its addresses from outside, or through SSH at its loopback.

    ``login`` is None until there is an account. The ways through SSH stay open until `close`.
    """

    host: Host
    want: Sheet
    addresses: tuple[str, ...]
    login: stories.Login | None = None
    _temporary: accounts.Account | None = None
    _silent: set[tuple[str, str]] = field(default_factory=set)
    _ways: ExitStack = field(default_factory=ExitStack)

    def probe(self, story: Story, services: Iterable[str], origin: str) -> tuple[tuple[Any, ...], list[Finding]]:
        """What the clients of a story saw, in the transcript already, and what was left out for the budget's sake.

        Ports that a `stories.reach` before this got no answer from are left alone: ``port-open`` has told of them.
        """
        everywhere = story is stories.reach
        aimed = tuple(
            target
            for target in self._targets(services, origin, everywhere=everywhere)
            if everywhere or (target.service, target.address) not in self._silent
        )
        skipped: list[Finding] = []
        if story is stories.wrong:
            aimed, skipped = (
                aimed[: self.want.failed_logins],
                [_beyond(target, self.want.failed_logins) for target in aimed[self.want.failed_logins :]],
            )
        if everywhere and origin == "jump":
            seen: Sequence[Any] = [
                from_jump(target, self.host.reach_from_jump(target.address, target.port, _REACH_SECONDS), 0)
                for target in aimed
            ]
        else:
            seen = story(aimed, self.login or stories.Login("", "", self._trust()))
        results = tuple(keep(self.host.transcript, seen))
        if everywhere:
            # a port that swallows what is sent to it would cost every later story its whole time limit
            self._silent = {(r.target.service, r.target.address) for r in results if r.state == "timeout"}
        return results, skipped

    def _targets(self, services: Iterable[str], origin: str, *, everywhere: bool) -> tuple[Target, ...]:
        """Only ports that are meant to be open are spoken to; ``everywhere`` takes the others in as well."""
        name = self.want.mail_names[0]
        wanted = [s for s in services if everywhere or s.removesuffix("s") in self.want.protocols]
        if origin == "loopback":
            return tuple(
                dataclasses.replace(target, via=self._ways.enter_context(self.host.forward(target.port)))
                for target in targets(name, ("127.0.0.1",), wanted, origin="loopback")
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

    def _trust(self) -> Trust:
        return Trust(roots=self.want.tls.trust if self.want.tls else None)

    def use_temporary(self, run: str) -> str:
        """Make a temporary account, after the leftovers of dead runs are gone. Raises CommandError."""
        made = self._temporary = accounts.temporary(run)
        commands = (*accounts.remove_leftovers(), *changes.forget_old(), *accounts.create(made))
        for result in self.host.batch(numbered(commands), stop=True).values():
            result.checked()
        self.login = stories.Login(made.name, made.password, self._trust())
        return made.name

    def use_own(self) -> str:
        """Use the sheet's test account; empty when there is none. Raises SheetError."""
        own = self.want.test_account
        if own is None:
            return ""
        word = secret(own.password, login=own.name, what=f"password of {own.name}")
        self.login = stories.Login(own.name, word, self._trust())
        return own.name

    def remove_temporary(self) -> list[Finding]:
        """Remove the temporary account, if there is one; a second call has nothing to do."""
        if self._temporary is None:
            return []
        made, self._temporary, self.login = self._temporary, None, None
        results = list(self.host.batch(numbered(accounts.remove(made))).values())
        bad = [result for result in results if not result.ok]
        return [
            Finding(
                id="temporary-account-removed",
                title="The temporary account is gone",
                status="fail" if bad else "pass",
                severity="high",
                subject=made.name,
                expected="removed",
                actual=bad[0].error().what if bad else "removed",
                message=f"the temporary account {made.name} could not be removed." if bad else "",
                remedy=f"userdel -r {made.name} on the server; the next run removes it too." if bad else "",
                evidence=tuple(result.n for result in results),
            )
        ]

    def close(self) -> None:
        """Close the ways through SSH."""
        self._ways.close()


def services_of(want: Sheet, *, tls: bool) -> tuple[str, ...]:
    """The services of the sheet's protocols; those over TLS only where TLS is served."""
    return tuple(s for s in PORTS if s.removesuffix("s") in want.protocols and (tls or not s.endswith("s")))


def _beyond(target: Target, budget: int) -> Finding:
    return Finding(
        id="wrong-password-refused",
        title="A wrong password is refused",
        status="skip",
        subject=str(target),
        expected="refused",
        actual="not tried",
        message=f"beyond the budget of {budget} failed logins a run: each costs this machine's address seconds at the "
        "server and may get it banned.",
        remedy="raise failed_logins in the sheet to try it.",
    )
