"""TLS for every login: certificate, key, and the settings that mandate them."""

from __future__ import annotations

from collections.abc import Iterable

from mailhost import acme, pki
from mailhost.changes import Change, FileState, ReloadUnit, WatchFiles, WriteFile
from mailhost.dovecot import dropin
from mailhost.dovecot.settings import Dialect, certificate_paths, wanted
from mailhost.facts.certificate_files import CertificateFiles, File
from mailhost.facts.dovecot import Dovecot
from mailhost.facts.renewal_hook import RenewalHook
from mailhost.facts.service import Service
from mailhost.families import Family
from mailhost.operations.configure import settle
from mailhost.sheet import Sheet

CERTIFICATE_MODE, KEY_MODE, OWNER = "0644", "0600", "root:root"


def secure(  # noqa: PLR0917  # what is first, then what should be: the order of every operation
    dovecot: Dovecot,
    service: Service,
    files: CertificateFiles,
    pair: pki.Pair | None,
    want: Sheet,
    family: Family,
    dialect: Dialect,
    *,
    hook: RenewalHook | None = None,
    served: Iterable[str] = (),
) -> list[Change]:
    """Install certificate and key, mandate TLS, refuse logins in clear.

    A renewed certificate under unchanged settings needs a reload only, and connections stay. ``served`` are
    the fingerprints that clients get now: where one of them is another than the pair's, a reload never came and is
    made up for. Where an ACME
    client keeps certificate and key on the server, its deploy hook is installed instead of them.
    """
    if pair is None:  # the checks over the sheet's files say why; nothing could be served with it
        return []
    changes: list[Change] = [*_install(files, pair, want, family), *_hook(hook or RenewalHook(), want, family)]
    target = wanted(want, family, ipv6=True)
    blocks = dropin.Blocks(dropin.split(dovecot.drop_in or "").mail, dialect.tls(target))
    settled = settle(dovecot, service, blocks, want, family)
    if settled:
        return [*changes, *settled]
    return [*changes, *_reload(changes, pair, want, family, served)]


def renew(
    files: CertificateFiles, pair: pki.Pair | None, want: Sheet, family: Family, *, served: Iterable[str] = ()
) -> list[Change]:
    """Install a new certificate and have Dovecot read it, by a reload and never a restart: connections stay.

    Settings are left alone. ``served`` are the fingerprints that clients get now: where one of them is another than
    the new one's although the files are right, a reload never came and is made up for.
    """
    if pair is None:
        return []
    changes = _install(files, pair, want, family)
    return [*changes, *_reload(changes, pair, want, family, served)]


def is_secured(dovecot: Dovecot, want: Sheet, family: Family) -> bool:
    """Whether Dovecot runs with mandatory TLS and reads certificate and key where the sheet has them."""
    real = dovecot.settings
    told = (real.certificate_path, real.key_path)
    return dovecot.serves_tls and real.ssl == "required" and told == certificate_paths(want, family)


def _install(files: CertificateFiles, pair: pki.Pair, want: Sheet, family: Family) -> list[WriteFile]:
    if pair.key_pem is None:
        return []
    certificate_path, key_path = certificate_paths(want, family)
    changes = []
    if _differs(files.certificate, pair.fullchain_pem, CERTIFICATE_MODE):
        about, state = _about(pair), _state(files.certificate)
        changes.append(WriteFile(certificate_path, state, pair.fullchain_pem, CERTIFICATE_MODE, OWNER, about=about))
    if _differs(files.key, pair.key_pem, KEY_MODE):
        changes.append(WriteFile(key_path, _state(files.key), pair.key_pem, KEY_MODE, OWNER, secret=True))
    return changes


def _hook(found: RenewalHook, want: Sheet, family: Family) -> list[Change]:
    """The deploy hook's files where they differ, and the unit that watches."""
    hook = acme.hook(want.tls, family.unit)
    if hook is None:
        return []
    there = {file.path: file for file in found.files}
    changes: list[Change] = []
    for part in hook.parts:
        file = there.get(part.path, File(part.path))
        content = part.text.encode()
        if (file.digest, file.mode, file.owner) != (pki.sha256(content), part.mode, OWNER):
            changes.append(WriteFile(part.path, _state(file), content, part.mode, OWNER))
    if hook.watch and (changes or not found.watching):
        changes.append(WatchFiles(hook.watch, enabled=found.enabled))
    return changes


def _reload(
    changes: Iterable[Change], pair: pki.Pair, want: Sheet, family: Family, served: Iterable[str]
) -> list[Change]:
    """A reload where contents change, or where something else than the pair is served."""
    paths = certificate_paths(want, family)
    written = [change for change in changes if isinstance(change, WriteFile) and change.path in paths]
    if any(change.before.digest != change.digest for change in written):
        return [ReloadUnit(family.unit, "certificate or key change")]
    if any(fingerprint != pair.fingerprint for fingerprint in served):
        return [ReloadUnit(family.unit, "it still serves another certificate")]
    return []


def _differs(file: File, content: bytes, mode: str) -> bool:
    modes = (mode, "0400") if mode == KEY_MODE else (mode,)  # 0400 is as good for root, who opens it
    return file.digest != pki.sha256(content) or (file.mode not in modes or file.owner != OWNER)


def _state(file: File) -> FileState:
    return FileState(file.digest, file.mode, file.owner)


def _about(pair: pki.Pair) -> tuple[str, ...]:
    return (
        f"names {', '.join(pki.names(pair.leaf))}",
        f"issued by {pki.name(pair.leaf.issuer)}, valid until {pair.leaf.not_valid_after_utc:%Y-%m-%d}",
        f"sent with {len(pair.chain)} intermediate(s): {', '.join(pki.name(c.subject) for c in pair.chain) or 'none'}",
    )
