"""Whole files, written aside and moved into place; the bytes before stay on the server until all is well."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, field

from mailhost.changes.base import STALE, Change
from mailhost.host import Command, sh

# In memory, for root only: a key that is replaced never touches another disk, and a restart of the server clears it.
KEPT = "/run/dovecot-runbook"


@dataclass(frozen=True)
class FileState:
    """A file as it was looked at.

    digest   SHA-256, or None when it is not there
    mode     as in ``0644``; empty when not known
    owner    as in ``root:root``
    content  the text, where it was read: for the diff
    """

    digest: str | None = None
    mode: str = ""
    owner: str = ""
    content: bytes | None = field(default=None, repr=False)


ABSENT = FileState()

_STATE = """\
state() { if [ -e "$1" ]; then sha256sum <"$1" | cut -c 1-64; else echo absent; fi; }
"""

_GUARD = (
    _STATE
    + """\
now=$(state "$1")
[ "$now" = "$2" ] && exit 0
echo "$1 is not as it was looked at: it is $now now and was $2" >&2
exit 75
"""
)

# The new file has its final mode before it has content, and its final content before it has its name.
_WRITE = """\
set -e
path=$1 mode=$2 owner=$3 digest=$4 keep=$5 dirmode=$6
umask 077
dir=${path%/*}
[ -d "$dir" ] || install -d -m "$dirmode" "$dir"
install -d -m 0700 "${keep%/*}"
rm -rf "$keep"
if [ -e "$path" ] || [ -L "$path" ]; then cp -a "$path" "$keep"; fi
new=$(mktemp "$dir/.dovecot-runbook.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$new"
[ "$(sha256sum <"$new" | cut -c 1-64)" = "$digest" ] || { echo "the content for $path arrived damaged" >&2; exit 1; }
chown "$owner" "$new"
chmod "$mode" "$new"
# sync of one file came with coreutils 8.24; the older one would flush every disk
if sync --help 2>/dev/null | grep -q -e --data; then sync "$new"; fi
mv -f "$new" "$path"
if command -v restorecon >/dev/null; then restorecon "$path"; fi
"""

# What was kept, a link perhaps, takes the place of $path.
_PUT_BACK = """\
set -e
new=$(mktemp -u "${path%/*}/.dovecot-runbook.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 143' HUP INT TERM
cp -a "$keep" "$new"
mv -f "$new" "$path"
rm -f "$keep"
if command -v restorecon >/dev/null; then restorecon "$path"; fi
"""

_UNDO = (
    _STATE
    + """\
path=$1 before=$2 after=$3 keep=$4
now=$(state "$path")
if [ "$now" != "$after" ]; then
    [ "$now" = "$before" ] && exit 0
    echo "$path was changed by somebody else since: left as it is" >&2
    exit 75
fi
if [ "$before" = absent ]; then rm -f "$path"; exit; fi
if [ ! -e "$keep" ] && [ ! -L "$keep" ]; then
    # it was never replaced, or was put back before
    [ "$before" = "$after" ] && exit 0
    echo "the copy of $path from before is gone" >&2
    exit 1
fi
"""
    + _PUT_BACK
)


@dataclass(frozen=True)
class WriteFile(Change):
    """Write one whole file.

    about    lines for the diff of a file whose content says nothing to people (a certificate's names and dates)
    secret   the content is shown by its digest only
    """

    path: str
    before: FileState
    after: bytes = field(repr=False)
    mode: str = "0644"
    owner: str = "root:root"
    secret: bool = False
    about: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        if self.before.digest == self.digest:
            return f"protect {self.path}"
        return f"{'write' if self.before.digest is None else 'replace'} {self.path}"

    @property
    def digest(self) -> str:
        """SHA-256 of what is written."""
        return hashlib.sha256(self.after).hexdigest()

    def diff(self) -> str:
        """A unified diff where both texts are known; digests and `about` where not."""
        rights = _rights(self.before), f"{self.mode} {self.owner}"
        attributes = [] if rights[0] in ("", rights[1]) else [f"- {rights[0]}", f"+ {rights[1]}"]
        if self.before.digest == self.digest:
            return "\n".join([f"  {self.path}", *attributes])
        known = not self.secret and not self.about and (self.before.content is not None or self.before.digest is None)
        if known:
            lines = difflib.unified_diff(
                (self.before.content or b"").decode("utf-8", "replace").splitlines(),
                self.after.decode("utf-8", "replace").splitlines(),
                self.path if self.before.digest else "/dev/null",
                self.path,
                lineterm="",
            )
            return "\n".join([*lines, *attributes])
        old = [] if self.before.digest is None else [f"- {self.path} sha256 {self.before.digest}"]
        return "\n".join(
            [*old, f"+ {self.path} sha256 {self.digest}", *(f"+ {line}" for line in self.about), *attributes]
        )

    def commands(self) -> tuple[Command, ...]:
        """Guard, then write aside and move into place."""
        write = sh(_WRITE, self.path, self.mode, self.owner, self.digest, self._keep, self._dirmode, stdin=self.after)
        return (self.guard(), write)

    def guard(self) -> Command:
        """Ends with `STALE` when the file is not as it was looked at."""
        return sh(_GUARD, self.path, self.before.digest or "absent")

    def undo(self) -> tuple[Command, ...]:
        """Put back what was there, or remove what was not; a file that somebody changed since is left alone."""
        return (sh(_UNDO, self.path, self.before.digest or "absent", self.digest, self._keep),)

    def forget(self) -> tuple[Command, ...]:
        """Remove the copy from before."""
        return (_forget(self.path),)

    @property
    def _keep(self) -> str:
        return _kept(self.path)

    @property
    def _dirmode(self) -> str:
        return "0700" if self.secret else "0755"


def forget_old(*, minutes: int = 60) -> tuple[Command, ...]:
    """Remove copies from before that a run which died has left: one that is under way has none of that age."""
    script = 'find "$1" ! -type d -cmin "+$2" -exec rm -f {} + 2>/dev/null; rmdir "$1" 2>/dev/null; exit 0'
    return (sh(script, KEPT, str(minutes)),)


def _kept(path: str) -> str:
    """Where the bytes before are kept: known without asking, so that undo finds it after a crash as well."""
    return f"{KEPT}/{hashlib.sha256(path.encode()).hexdigest()[:16]}"


def _forget(path: str) -> Command:
    return sh('rm -rf "$1"; rmdir "${1%/*}" 2>/dev/null || :', _kept(path))


def _rights(state: FileState) -> str:
    return f"{state.mode} {state.owner}".strip()


# The candidate is judged in a copy of the whole configuration. Includes of absolute paths would lead out of the
# copy and back to the live files, so they are turned around in it. A file that is missing already today (Red Hat's
# stock certificate, made at the first start) is not held against the candidate. What is judged comes as a file of
# its own, or with $3 as the end of one that is there.
_CANDIDATE = """\
umask 077
live=$1 name=$2 end=${3:-}
dir=$(mktemp -d /run/dovecot-runbook.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' HUP INT TERM
if [ ! -f "$live/dovecot.conf" ]; then echo "there is no $live/dovecot.conf" >&2; exit 1; fi
cp -a "$live" "$dir/copy" || exit 1
install -d "$dir/copy/${name%/*}"
[ -n "$end" ] || rm -f "$dir/copy/$name"
cat >>"$dir/copy/$name" || exit 1
if found=$(grep -rlE '^[^#]*_file[[:space:]]*=[[:space:]]*<' --include='*.conf' "$dir/copy"); then
    echo "a setting in these files has a '<' before its path, and Dovecot 2.4 would print the private key:" >&2
    echo "$found" | sed "s#^$dir/copy#$live#" >&2
    exit 1
fi
find "$dir/copy" -type f -name '*.conf' \\
    -exec sed -i "s#^\\([[:space:]]*!include\\(_try\\)\\{0,1\\}[[:space:]]\\{1,\\}\\)$live/#\\1$dir/copy/#" {} +
# what a person is told names the live files, not the copy
judge() { doveconf -c "$dir/copy/dovecot.conf" "$1" 2>&1 >/dev/null | sed "s#$dir/copy#$live#g" >"$dir/told"; }
doveconf -c "$dir/copy/dovecot.conf" -nx >/dev/null 2>&1 && exit 0
if doveconf -c "$dir/copy/dovecot.conf" -n >/dev/null 2>&1; then
    judge -nx
    doveconf -nx >/dev/null 2>"$dir/old"
    cat "$dir/told" >&2
    if grep -q 'No such file or directory' "$dir/told" && cmp -s "$dir/old" "$dir/told"; then exit 0; fi
else
    judge -n
    cat "$dir/told" >&2
fi
exit 1
"""


@dataclass(frozen=True)
class WriteDropIn(WriteFile):
    """Write our drop-in, after Dovecot itself has accepted the whole configuration with it."""

    def __post_init__(self) -> None:
        """Refuse a candidate that would have Dovecot 2.4 print the private key: a defect of ours."""
        if re.search(rb"(?m)^[^#\n]*_file\s*=\s*<", self.after):
            msg = "a setting that ends in _file takes a path without '<'"
            raise ValueError(msg)

    def commands(self) -> tuple[Command, ...]:
        """Guard, candidate, write. A configuration that Dovecot refuses is never installed."""
        guard, write = super().commands()
        live, _, name = self.path.partition("/conf.d/")
        return (guard, sh(_CANDIDATE, live, f"conf.d/{name}", stdin=self.after), write)


# A copy with all its attributes gets the new end and takes the place of the file. The drop-in counts as written
# anew: a run that dies before the restart is made up for by the next one.
_END = """\
set -e
path=$1 keep=$2 dropin=$3
if [ -L "$path" ]; then echo "$path is a link, so it is somebody else's to write: add these lines there" >&2; exit 1; fi
umask 077
install -d -m 0700 "${keep%/*}"
rm -rf "$keep"
cp -a "$path" "$keep"
new=$(mktemp "${path%/*}/.dovecot-runbook.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 143' HUP INT TERM
cp -a "$path" "$new"
cat >>"$new"
if sync --help 2>/dev/null | grep -q -e --data; then sync "$new"; fi
mv -f "$new" "$path"
if command -v restorecon >/dev/null; then restorecon "$path"; fi
if [ -e "$dropin" ]; then touch "$dropin"; fi
"""

_UNDO_END = (
    _STATE
    + """\
path=$1 before=$2 keep=$3
now=$(state "$path")
[ "$now" = "$before" ] && exit 0
if [ ! -e "$keep" ]; then echo "the copy of $path from before is gone" >&2; exit 1; fi
if [ "$({ cat "$keep" -; } | sha256sum | cut -c 1-64)" != "$now" ]; then
    echo "$path was changed by somebody else since: left as it is" >&2
    exit 75
fi
"""
    + _PUT_BACK
)


@dataclass(frozen=True)
class IncludeLast(Change):
    """Give dovecot.conf one more line at its end, which reads our drop-in; every other byte of it stays.

    Its text is never read: it may hold passwords.

    before   SHA-256 of the file as it was looked at
    end      what is added
    why      what makes it necessary
    dropin   our drop-in
    """

    path: str
    before: str
    end: str
    why: str
    dropin: str

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return f"have {self.path} read our drop-in last"

    def diff(self) -> str:
        """The new lines, and what they are for."""
        added = (f"+{line}" for line in self.end.splitlines())
        return "\n".join([f"  {self.path}: {self.why}", f"+++ {self.path}", "@@ at its end @@", *added])

    def commands(self) -> tuple[Command, ...]:
        """Guard, candidate, write. A configuration that Dovecot refuses is never installed."""
        live, _, name = self.path.rpartition("/")
        return (
            sh(_GUARD, self.path, self.before),
            sh(_CANDIDATE, live, name, "end", stdin=self.end.encode()),
            sh(_END, self.path, _kept(self.path), self.dropin, stdin=self.end.encode()),
        )

    def undo(self) -> tuple[Command, ...]:
        """Put back what was there; a file that somebody changed since is left alone."""
        return (sh(_UNDO_END, self.path, self.before, _kept(self.path), stdin=self.end.encode()),)

    def forget(self) -> tuple[Command, ...]:
        """Remove the copy from before."""
        return (_forget(self.path),)


__all__ = ["ABSENT", "STALE", "FileState", "IncludeLast", "WriteDropIn", "WriteFile"]
