"""The server's own firewall, as the sheet says: mail services open or closed, everything else left alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mailhost.changes import Change, Firewalld, Rule, Ufw
from mailhost.facts.firewall import Firewall
from mailhost.sheet import PORTS, Sheet


def firewall(found: Firewall, want: Sheet) -> list[Change]:
    """Open and close what differs from the sheet; no change where no firewall filters or we must not manage it.

    A firewall that is installed and stopped is not started: that could lock its owner out. Rules that name sources
    or ranges are left alone as well; the check names what they still leave open.
    """
    if not (want.firewall.manage and found.active):
        return []
    wanted = want.firewall.wanted()
    if found.tool == "firewalld":
        rules = [
            *_rules(wanted, found.runtime, found.open_as, found.known_services, zone=found.zone, permanent=False),
            *_rules(
                wanted,
                found.permanent,
                found.permanent_as,
                found.known_services,
                zone=found.permanent_zone,
                permanent=True,
            ),
        ]
        return [Firewalld(tuple(rules))] if rules else []
    if found.tool == "ufw":
        opened = {name: [e.removesuffix(" (v6)").split(" (")[0] for e in by] for name, by in found.open_as.items()}
        rules = _rules(wanted, found.runtime, opened, (), zone="", permanent=True)
        return [Ufw(tuple(dict.fromkeys(rules)), found.raw)] if rules else []
    return []


def _rules(
    wanted: Mapping[str, str],
    state: Mapping[str, str],
    opened: Mapping[str, Iterable[str]],
    known: Iterable[str],
    *,
    zone: str,
    permanent: bool,
) -> list[Rule]:
    rules = []
    for service, opening in wanted.items():
        port = f"{PORTS[service]}/tcp"
        if opening == "open" and state.get(service) == "closed":
            by_name = service in known
            rules.append(Rule(permanent, zone, "add", "service" if by_name else "port", service if by_name else port))
        elif opening == "closed" and state.get(service) == "open":
            for entry in opened.get(service, ()):
                # only what opens this service alone: a range or a profile of several may carry SSH as well
                if entry == service:
                    rules.append(Rule(permanent, zone, "remove", "service", entry))
                elif entry.removeprefix("limit ") in (port, str(PORTS[service])):
                    limited, _, bare = entry.rpartition(" ")
                    rules.append(Rule(permanent, zone, "remove", "limit" if limited else "port", bare))
    return rules
