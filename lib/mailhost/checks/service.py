"""Dovecot's unit runs, and starts with the server."""

from __future__ import annotations

from mailhost.checks.outcome import judged
from mailhost.facts.service import Service
from mailhost.finding import Finding


def enabled(service: Service) -> list[Finding]:
    """Dovecot's unit starts with the server and is not masked."""
    if not service.installed:
        why, remedy = f"{service.unit} does not exist: Dovecot is not installed", "run 02_install in apply mode."
    elif service.masked:
        why = f"{service.unit} is masked: nobody can start it"
        remedy = f"`systemctl unmask {service.unit}` (and `--runtime`), then `systemctl enable {service.unit}`."
    else:
        why = f"{service.unit} is {service.unit_file or 'not enabled'}: after a restart of the server there is no mail"
        remedy = f"`systemctl enable {service.unit}`, or run 02_install in apply mode."
    return [
        judged(
            service.installed and service.enabled,
            "unit-enabled",
            "Dovecot starts with the server",
            service,
            subject=service.unit,
            expected="enabled, not masked",
            actual=service.unit_file or service.load,
            message=f"{why}.",
            remedy=remedy,
            severity="high",
        )
    ]


def active(service: Service) -> list[Finding]:
    """Dovecot's unit runs and has not failed."""
    # it has failed, and systemd tries again and again: seen between two tries, or in one of them
    again = service.sub == "auto-restart" or (service.active == "activating" and bool(service.restarts))
    under_way = service.active in ("activating", "reloading", "deactivating") and not again
    holds = None if under_way else service.running
    state = f"{service.active} ({service.sub})"
    return [
        judged(
            holds,
            "unit-active",
            "Dovecot runs",
            service,
            subject=service.unit,
            expected="active (running)",
            actual=state if service.result in ("", "success") else f"{state}, {service.result}",
            message=f"{service.unit} is {state}: "
            + ("whether it will run is not known yet." if under_way else "nobody can read mail."),
            remedy=f"look at `systemctl status {service.unit}` and `journalctl -u {service.unit}`; "
            "`doveconf -nx >/dev/null` tells errors in the configuration.",
            severity="critical",
        )
    ]
