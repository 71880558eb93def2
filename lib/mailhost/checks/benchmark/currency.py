"""Chapter 8: what runs is what is installed, and what is installed is what there is."""

from __future__ import annotations

from mailhost.checks.benchmark.model import Entry, Outcome, Server, none_of

TITLE = "Currency"
_FETCH = "`apt-get update`, or `dnf makecache` (yum makecache), then audit again."


def _binary(server: Server) -> Outcome:
    if server.found.running and not server.hard.processes:
        return Outcome(None, "the installed programs run", "not told", "Dovecot's processes could not be looked at")
    return none_of(server.hard.outdated, "the installed programs run", "Dovecot still runs what was replaced")


def _update(server: Server) -> Outcome:
    if server.hard.updates is None:
        why = f"the package manager did not tell: {server.hard.problem}"
        return Outcome(None, "nothing newer", "not told", why, remedy=_FETCH)
    bad = [f"{name} {version}" for name, version in server.hard.updates.items()]
    return none_of(bad, "nothing newer", "newer packages wait")


ENTRIES = (
    Entry(
        "8.1",
        id="binary-current",
        judge=_binary,
        title="What runs is what is installed",
        severity="high",
        why="an update, of Dovecot or of a library, is installed and not in force: the old error is still open",
        measured="programs and libraries of running processes that are gone from the disk",
        remedy="`systemctl restart dovecot`; needrestart or dnf-utils do it after each update.",
        source="CIS Controls 7.3; needrestart(1)",
    ),
    Entry(
        "8.2",
        id="update-pending",
        judge=_update,
        title="No update of Dovecot waits",
        severity="high",
        why="what the update closes is open, and known to everybody",
        measured="the package manager's own lists, as last fetched; nothing is fetched",
        remedy="`apt-get install --only-upgrade dovecot-core` or `dnf upgrade dovecot` (yum update), then audit again.",
        source="CIS Controls 7.4",
    ),
    Entry(
        "8.3",
        title="The next upgrade of Dovecot would start",
        severity="medium",
        why="an upgrade to 2.4 does not start with the settings of 2.3",
        measured="the version that the package manager offers, against the configuration's language",
        remedy="Upgrade, then run the runbook in apply mode: it writes its settings in the new language.",
        source="Dovecot manual, upgrading from 2.3 to 2.4",
        measured_by=("upgrade-ready",),
    ),
)
