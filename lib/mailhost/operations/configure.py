"""What is served and where the mail lies, from the sheet; TLS stays as it is until it is secured."""

from __future__ import annotations

from mailhost.changes import Change, FileState, IncludeLast, RestartUnit, StartUnit, WriteDropIn
from mailhost.dovecot import DIALECTS, dropin
from mailhost.dovecot.layout import LAST
from mailhost.dovecot.settings import Dialect, Settings, wanted
from mailhost.errors import UnsupportedError
from mailhost.facts.dovecot import CONFIG, Dovecot
from mailhost.facts.service import Service
from mailhost.facts.system import System
from mailhost.families import Family
from mailhost.sheet import Sheet


def configure(  # noqa: PLR0917  # what is first, then what should be: the order of every operation
    dovecot: Dovecot, service: Service, system: System, want: Sheet, family: Family, dialect: Dialect
) -> list[Change]:
    """Write the block "mail" of our drop-in and have Dovecot run with it.

    The block "tls" is kept where TLS is set up; elsewhere it is the guide's temporary ``ssl = no``, with logins in
    clear refused from outside all the same. Raises UnsupportedError where there is no dovecot.conf to read it.
    """
    old = dropin.split(dovecot.drop_in or "")
    target = wanted(want, family, ipv6=system.ipv6)
    kept = dovecot.tls_is_set_up or f"ssl = {target.ssl}" in old.tls
    tls = _in(dialect, old.tls, target) if kept else dialect.tls(Settings(ssl="no", cleartext_refused=True))
    return settle(dovecot, service, dropin.Blocks(dialect.mail(target), tls), want, family)


def _in(dialect: Dialect, tls: tuple[str, ...], target: Settings) -> tuple[str, ...]:
    """The lines as they stand, or anew where they speak another dialect: after an upgrade Dovecot refuses them."""
    spoken, known = (
        {name for one in some for names in one.NAMES.values() for name in names} for some in ((dialect,), DIALECTS)
    )
    foreign = {line.partition(" = ")[0] for line in tls} & (known - spoken)
    return dialect.tls(target) if foreign else tls


def settle(dovecot: Dovecot, service: Service, blocks: dropin.Blocks, want: Sheet, family: Family) -> list[Change]:
    """Write the drop-in when it is another, have it read last; start what is down, restart what runs with the old."""
    last = _read_last(dovecot, blocks)
    text = dropin.render(blocks, sheet=want.name)
    changed = text != dovecot.drop_in
    if not changed and not last:
        if not service.running:
            return [StartUnit(family.unit)]
        return (
            [RestartUnit(family.unit, "it runs since before its drop-in was written")]
            if _older(service, dovecot)
            else []
        )
    content = None if dovecot.drop_in is None else dovecot.drop_in.encode("utf-8", "surrogateescape")
    before = FileState(dovecot.drop_in_digest, content=content)
    act = RestartUnit(family.unit, "its settings change") if service.running else StartUnit(family.unit)
    write = [WriteDropIn(dovecot.drop_in_path, before, text.encode())] if changed else []
    return [*write, *last, act]


def _older(service: Service, dovecot: Dovecot) -> bool:
    """Whether an earlier run wrote the drop-in and ended before the restart."""
    return None not in (service.started, dovecot.drop_in_time) and (dovecot.drop_in_time or 0) > (service.started or 0)


def _read_last(dovecot: Dovecot, blocks: dropin.Blocks) -> list[Change]:
    """One more line of dovecot.conf, where its own settings would win over every drop-in."""
    ours = {line.partition(" = ")[0] for line in (*blocks.mail, *blocks.tls)}
    why = dovecot.layout.loses(ours) if dovecot.installed else ""
    if not why:
        return []
    path = f"{CONFIG}/dovecot.conf"
    digest = dict(dovecot.files).get(path)
    if digest is None:
        raise UnsupportedError(
            f"there is no {path}, so no drop-in is ever read",
            follows="the settings would have no effect; nothing was changed.",
            remedy="put the package's own file back, then run it again.",
        )
    return [IncludeLast(path, digest, LAST, why, dovecot.drop_in_path)]
