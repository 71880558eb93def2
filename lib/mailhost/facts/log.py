"""Where Dovecot logs, and what went wrong there since a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import log, pairs
from mailhost.query import Fact, Query

# `doveadm log find` writes test messages when Dovecot logs to syslog, and we only read: so it is asked only where
# Dovecot logs to files of its own. It wants a running Dovecot, so the settings are the second source.
_WHERE = """\
command -v doveconf >/dev/null 2>&1 || exit 0
setting=$(doveconf log_path 2>/dev/null)
echo "$setting"
doveconf info_log_path 2>/dev/null
case $setting in *=*/*) doveadm log find 2>/dev/null ;; esac
exit 0
"""
# The time in the server's own zone: systemd before 212 takes no "@SECONDS".
_JOURNAL = """\
command -v journalctl >/dev/null 2>&1 || exit 127
journalctl -q --no-pager -o short-iso -u "$2" --since="$(date -d "@$1" '+%Y-%m-%d %H:%M:%S')"
"""
_RING = 'systemctl -q is-active "$2" || exit 0; doveadm log errors -s "$1"'
# Such lines lack year and zone: the server's own are added. Syslog files only where no journal can be read.
_FILES = """\
echo "now=$(date '+%Y-%m-%dT%H:%M:%S%z')"
own=$(doveconf log_path info_log_path 2>/dev/null | sed -n 's/^[a-z_]* = \\(\\/..*\\)$/\\1/p' | sort -u)
if [ -z "$own" ] && ! journalctl -q -n 1 >/dev/null 2>&1; then own="/var/log/maillog /var/log/mail.log"; fi
for file in $own; do
  [ -r "$file" ] && { echo "file=$file"; tail -n 1000 "$file" | grep -E 'dovecot|: (Panic|Fatal|Error|Warning): '; }
done
exit 0
"""


@dataclass(frozen=True)
class Line:
    """One line of the log.

    level      ``panic``, ``fatal``, ``error`` or ``warning``
    known      why it is known to be harmless; empty when it is not
    """

    level: str
    text: str
    source: str
    known: str = ""


@dataclass(frozen=True)
class Log(Fact):
    """What went wrong since a moment.

    where     the log: a file, or ``journal``
    since     seconds since 1970
    readable  whether any of the sources could be read; False means that nothing is known
    problem   why not
    """

    where: str = ""
    since: int = 0
    readable: bool = False
    rows: tuple[Line, ...] = ()
    problem: str = ""

    @property
    def errors(self) -> tuple[Line, ...]:
        """Panics, fatal and other errors that are not known to be harmless."""
        return tuple(row for row in self.rows if row.level != "warning" and not row.known)

    @property
    def warnings(self) -> tuple[Line, ...]:
        """Warnings that are not known to be harmless."""
        return tuple(row for row in self.rows if row.level == "warning" and not row.known)


def _commands(family: Family | None, epoch: int) -> dict[str, Command]:
    unit = family.unit if family else "dovecot.service"
    since = str(epoch)
    return {
        "where": sh(_WHERE, ok=None, timeout=20),
        "journal": sh(_JOURNAL, since, unit, ok=None, timeout=30),
        "ring": sh(_RING, since, unit, ok=None, timeout=20),  # 64 and 75: too old for it, or just going down
        "files": sh(_FILES, ok=None, timeout=20),
    }


def read(results: Mapping[str, Result]) -> Log:
    """Every source that could be read, each line once."""
    since = int(results["journal"].command.argv[4])
    journal, ring, files = results["journal"], results["ring"], results["files"]
    own = [line[5:] for line in files.stdout.splitlines() if line.startswith("file=")]
    rows = [
        *log.journal(journal.stdout if journal.code == 0 else ""),
        *log.ring(ring.stdout if ring.code == 0 else ""),
        *log.files(files.stdout, since),
    ]
    seen: dict[str, Line] = {}
    for row in rows:
        seen.setdefault(log.message(row["text"]), Line(**row))
    readable = journal.code == 0 or bool(own)
    said = pairs.pairs(results["where"].stdout)
    return Log(
        where=", ".join(own) or said.get("log_path", "").replace("syslog", "journal") or "journal",
        since=since,
        readable=readable,
        rows=tuple(seen.values()),
        problem="" if readable else (journal.stderr.strip()[-300:] or "there is neither a journal nor a log file"),
    )


def query_since(epoch: int) -> Query[Log]:
    """The query for Dovecot's log since a moment, in the server's seconds since 1970."""
    return Query("log", "Dovecot's own log", lambda _sheet, family: _commands(family, epoch), read)
