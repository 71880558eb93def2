"""The login matrix: every way in, tried with the right password and with what must be refused.

A way in is a service at an address, by one of two mechanisms. Under TLS each is tried with four kinds of credentials;
in clear text only a wrong password is ever sent. Failed logins come last, all at once, and no more than a budget
allows: each costs this machine's address seconds at the server and may get it banned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from mailhost.probes import stories
from mailhost.probes.dialogue import MECHANISMS, Dialogue, Mechanism, Story
from mailhost.probes.parallel import after_the_first, parallel
from mailhost.probes.starttls import went_on
from mailhost.probes.stories import Login
from mailhost.probes.target import Target

Bad = Literal["wrong", "unknown", "expired"]  # the stories of credentials that must be refused


@dataclass(frozen=True)
class Budget:
    """How many failed logins may be made, None for any number, by which kinds of credentials, and why no more.

    Those of a server that should not have looked at the password at all cannot be foreseen: they count when they are
    made, and only then keep others from being made.
    """

    failed: int | None
    why: str = ""
    kinds: tuple[Bad, ...] = get_args(Bad)

    def left(self, spent: int) -> Budget:
        """The budget after some of it is spent."""
        return self if self.failed is None else replace(self, failed=max(0, self.failed - spent))


@dataclass(frozen=True)
class Cell:
    """One way in with one kind of credentials that must be refused."""

    target: Target
    mechanism: Mechanism
    story: Bad


def matrix(targets: Sequence[Target], login: Login, expired: Login | None, budget: Budget) -> list[Dialogue]:
    """Log in by every way in: with the right password, in clear text, and (as the budget allows) as nobody may."""
    right = after_the_first(
        [(stories.enter, (target, login, mechanism)) for target in targets for mechanism in MECHANISMS[target.protocol]]
    )
    refused = refuse([target for target in targets if not target.implicit_tls], login, budget)
    left = budget.left(failed(refused))
    who = {
        "wrong": Login(login.name, stories.wrong_password(), login.trust),
        "unknown": Login(stories.nobody(), stories.wrong_password(), login.trust),
        "expired": expired,
    }
    ranked = rank([cell for cell in cells(targets) if who[cell.story] is not None])
    tried = [cell for cell in ranked if cell.story in left.kinds][: left.failed]
    beyond = [cell for cell in ranked if cell not in tried]
    wrong = parallel([(stories.enter, (c.target, who[c.story], c.mechanism, c.story)) for c in tried], workers=64)
    without = [cell for cell in cells(targets) if who[cell.story] is None]
    reason = "no expired account is made where the sheet's test_account is used"
    return [
        *right,
        *refused,
        *wrong,
        *(_untried(cell, left.why) for cell in beyond),
        *(_untried(cell, reason) for cell in without),
    ]


def refuse(targets: Sequence[Target], login: Login, budget: Budget) -> list[Dialogue]:
    """Try to log in without TLS, at one port first: once a server listens, each further port costs a failed login."""
    return _carefully("refuse", stories.refuse, targets, login, budget)


def starttls(targets: Sequence[Target], login: Login, budget: Budget) -> list[Dialogue]:
    """Carry a command and half a login into TLS; the latter at one port first, since it may be a failed login."""
    return [*stories.inject(targets), *_carefully("resume", stories.resume, targets, login, budget)]


def _carefully(
    story: Story,
    attempt: Callable[[Sequence[Target], Login], list[Dialogue]],
    targets: Sequence[Target],
    login: Login,
    budget: Budget,
) -> list[Dialogue]:
    """No budget for what a good server never looks at; when one does, no more of it than the budget has left."""
    seen: list[Dialogue] = []
    for wave in _waves([target for target in targets if not target.implicit_tls]):
        spent = failed(seen)
        tried = wave[: budget.left(spent).failed] if spent else wave
        if tried:
            seen += attempt(tried, login)
        seen += [Dialogue(target, story, "", untried=budget.why) for target in wave[len(tried) :]]
    return seen


def _waves(targets: Sequence[Target]) -> list[list[Target]]:
    """The first port of each protocol alone, then the others of it together."""
    groups = [[t for t in targets if t.protocol == protocol] for protocol in MECHANISMS]
    return [wave for group in groups for wave in (group[:1], group[1:]) if wave]


def failed(seen: Sequence[Dialogue]) -> int:
    """How many of these were failed logins to the server: it looked at a password and said no."""
    return sum(not d.untried and _failed(d) for d in seen)


def _failed(d: Dialogue) -> bool:
    if d.story == "resume":
        return bool(went_on(d))
    return d.story in get_args(Bad) or (d.story == "refuse" and d.listened)


def cells(targets: Sequence[Target]) -> list[Cell]:
    """Every cell under TLS that must be refused."""
    return [
        Cell(target, mechanism, story)
        for story in get_args(Bad)
        for target in targets
        for mechanism in MECHANISMS[target.protocol]
    ]


def rank(wanted: Sequence[Cell]) -> list[Cell]:
    """The order in which a budget is spent: a wrong password by each protocol, then the others.

    Each next cell is of the mechanism, service and address that were taken least before it.
    """
    rest, ranked = list(wanted), list[Cell]()
    taken: Counter[object] = Counter()
    while rest:
        best = min(rest, key=lambda cell: [taken[trait] for trait in _traits(cell)])
        rest.remove(best)
        ranked.append(best)
        taken.update(_traits(best))
    return ranked


def _traits(cell: Cell) -> list[object]:
    kind = (cell.story, cell.target.protocol) if cell.story == "wrong" else cell.story
    return [kind, cell.mechanism, cell.target.service, (cell.target.address,)]


def _untried(cell: Cell, why: str) -> Dialogue:
    return Dialogue(cell.target, cell.story, "", mechanism=cell.mechanism, untried=why)
