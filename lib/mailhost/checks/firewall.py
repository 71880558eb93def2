"""The firewall lets in what the sheet says, now and after the next boot."""

from __future__ import annotations

from mailhost.checks.outcome import judged, skipped
from mailhost.facts.firewall import Firewall
from mailhost.finding import Finding
from mailhost.parse.firewalld import State
from mailhost.sheet import PORTS, Sheet


def firewall(firewall: Firewall, sheet: Sheet) -> list[Finding]:
    """What the server's own firewall lets in is what the sheet says, now and after a restart."""
    return [*firewall_rules(firewall, sheet), *firewall_permanent(firewall, sheet)]


def firewall_rules(firewall: Firewall, sheet: Sheet) -> list[Finding]:
    """The rules that are in force now are the sheet's; one finding for each service."""
    return [
        _service(
            "firewall-rules", "the firewall is as the sheet says", firewall, sheet, name, firewall.runtime.get(name)
        )
        for name in PORTS
    ]


def firewall_permanent(firewall: Firewall, sheet: Sheet) -> list[Finding]:
    """The rules that will be in force after a restart are the sheet's, and the firewall starts with the server."""
    title = "the firewall stays as the sheet says after a restart"
    findings = [
        _service("firewall-permanent", title, firewall, sheet, name, firewall.permanent.get(name)) for name in PORTS
    ]
    if firewall.managed:
        findings.append(
            judged(
                firewall.enabled,
                "firewall-permanent",
                title,
                firewall,
                subject="starts with the server",
                expected="enabled",
                actual="enabled" if firewall.enabled else "not enabled",
                message=f"{firewall.tool} does not start with the server: after a restart nothing filters.",
                remedy="`ufw enable`." if firewall.tool == "ufw" else f"`systemctl enable {firewall.tool}`.",
                severity="high",
            )
        )
    return findings


def _service(  # noqa: PLR0917
    id: str,  # noqa: A002
    title: str,
    firewall: Firewall,
    sheet: Sheet,
    name: str,
    state: State | None,
) -> Finding:
    wanted = sheet.firewall.wanted()[name]
    subject = f"{name} {PORTS[name]}"
    if firewall.tool == "none" and wanted == "closed":
        why = "no firewall runs on the server; the connect from outside tells whether the port is reached"
        return skipped(id, title, why, subject=subject, fact=firewall)
    if firewall.active and not firewall.managed:
        why = f"{firewall.tool} rules of the owner's own decide it; the connect from outside tells what they do"
        return skipped(id, title, why, subject=subject, fact=firewall)
    later = id == "firewall-permanent"
    known = None if state in (None, "unknown") else state == wanted
    if known is None:
        why = f"whether {firewall.tool} lets {subject} in is not known: rules of the owner's own decide it."
        remedy = f"look at the rules; {subject} should be {wanted}. The connect from outside tells what they do."
    elif wanted == "open":
        why = f"{firewall.tool} keeps {subject} out{' after a restart' if later else ''}: clients cannot connect."
        remedy = _by_hand(firewall, name, "open")
    else:
        why = f"{firewall.tool} lets {subject} in{' after a restart' if later else ''}, and the sheet says closed."
        remedy = _by_hand(firewall, name, "closed")
    return judged(
        known,
        id,
        title,
        firewall,
        subject=subject,
        expected=wanted,
        actual=state or "unknown",
        message=why,
        remedy=remedy,
        severity="high",
    )


def _by_hand(firewall: Firewall, name: str, wanted: str) -> str:
    """How a person makes it so; the runbook does it where the sheet says ``firewall: {manage: true}``."""
    port = f"{PORTS[name]}/tcp"
    if firewall.tool == "firewalld":
        action = "add" if wanted == "open" else "remove"
        what = f"--{action}-service={name}" if name in firewall.known_services else f"--{action}-port={port}"
        zone = f"--zone={firewall.zone}"
        line = f"`firewall-cmd {zone} {what}` and `firewall-cmd --permanent {zone} {what}`"
    elif firewall.tool == "ufw":
        line = f"`ufw allow {port}`" if wanted == "open" else f"`ufw delete allow {port}`"
    else:
        line = f"a rule of your own that makes {port} {wanted}"
    return f"run 04_test in apply mode (with firewall.manage in the sheet), or by hand: {line}."
