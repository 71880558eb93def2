"""SELinux's labels on the files that Dovecot must read, as they are and as the system's own policy wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mailhost.dovecot import dropin
from mailhost.dovecot.settings import certificate_paths
from mailhost.facts.dovecot import CONFIG
from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import labels, pairs
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

# restorecon itself is asked, since its remedy is what it would do; -n has it change nothing. One process for all
# files, the list on its standard input; a link is followed, since the file behind it is what is read.
_LABELS = """\
command -v getenforce >/dev/null 2>&1 || exit 0
mode=$(getenforce)
echo "mode=$mode"
case $mode in Enforcing|Permissive) ;; *) exit 0 ;; esac
command -v restorecon >/dev/null 2>&1 || exit 0
maildir=$1
shift
files=$(
  for path in "$@"; do if [ -e "$path" ]; then readlink -f "$path"; fi; done
  getent passwd | while IFS=: read -r name password uid gid gecos home shell; do
    case $uid in ''|*[!0-9]*) continue ;; esac
    if [ "$uid" -ge 1000 ] && [ "$uid" -lt 60000 ] && [ -d "$home/$maildir" ]; then echo "$home/$maildir"; fi
  done
)
[ -n "$files" ] || { echo "asked=0"; exit 0; }
echo "$files" | sed 's/^/file=/'
echo "$files" | restorecon -n -v -f - 2>&1
echo "asked=$?"
"""


@dataclass(frozen=True)
class Wrong:
    """A file with another type than the policy wants: ``now`` (empty without a label) and ``should``."""

    path: str
    now: str
    should: str


@dataclass(frozen=True)
class Labels(Fact):
    """SELinux's labels on certificate, key, configuration and Maildirs.

    mode     ``enforcing``, ``permissive``, ``disabled`` or ``absent``
    files    the files that were looked at
    wrong    those that bear another type than the system's policy wants there
    problem  restorecon's words when it could not tell; ``missing`` where there is no restorecon
    """

    mode: str = "absent"
    files: tuple[str, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    problem: str = ""

    @property
    def matter(self) -> bool:
        """Whether SELinux looks at labels at all."""
        return self.mode in ("enforcing", "permissive")


def _commands(sheet: Sheet, family: Family | None) -> Mapping[str, Command]:
    if family is None:
        return {}
    paths = (*certificate_paths(sheet, family), f"{CONFIG}/dovecot.conf", f"{CONFIG}/conf.d/{dropin.NAME}")
    return {"labels": sh(_LABELS, sheet.maildir.removeprefix("~/"), *paths)}


def read(results: Mapping[str, Result]) -> Labels:
    """The labels that are wrong. Raises CommandError when the server's shell could not tell."""
    if not results:
        return Labels()
    text = results["labels"].checked().stdout
    told = pairs.pairs(text)
    files = tuple(line.removeprefix("file=") for line in text.splitlines() if line.startswith("file="))
    wrong = tuple(Wrong(**row) for row in labels.relabelled(text))
    said = [line for line in text.splitlines() if not line.startswith(("mode=", "file=", "asked="))]
    failed = told.get("asked") != "0" and not wrong
    problem = (" ".join(said[-3:]) if "asked" in told else "missing") if failed else ""
    labels_of = Labels(told.get("mode", "absent").lower(), files, wrong)
    return replace(labels_of, problem=problem) if labels_of.matter else labels_of


query: Query[Labels] = Query("labels", "SELinux's labels", _commands, read)
