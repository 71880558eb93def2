"""TLS for every login: certificate, key, and the settings that mandate them."""

from __future__ import annotations

from mailhost import pki
from mailhost.changes import Change, FileState, ReloadUnit, WriteFile
from mailhost.dovecot import dropin
from mailhost.dovecot.settings import Dialect, certificate_paths, wanted
from mailhost.facts.certificate_files import CertificateFiles, File
from mailhost.facts.dovecot import Dovecot
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
    served: str | None = None,
) -> list[Change]:
    """Install certificate and key, mandate TLS, refuse logins in clear.

    A renewed certificate under unchanged settings needs a reload only, and connections stay. ``served`` is the
    fingerprint that clients get now, where it is known: a reload that never came is made up for.
    """
    if pair is None:  # the checks over the sheet's files say why; nothing could be served with it
        return []
    certificate_path, key_path = certificate_paths(want, family)
    changes: list[Change] = []
    if _differs(files.certificate, pair.fullchain_pem, CERTIFICATE_MODE):
        changes.append(
            WriteFile(
                certificate_path,
                _state(files.certificate),
                pair.fullchain_pem,
                CERTIFICATE_MODE,
                OWNER,
                about=_about(pair),
            )
        )
    if _differs(files.key, pair.key_pem, KEY_MODE):
        changes.append(WriteFile(key_path, _state(files.key), pair.key_pem, KEY_MODE, OWNER, secret=True))
    target = wanted(want, family, ipv6=True)
    blocks = dropin.Blocks(dropin.split(dovecot.drop_in or "").mail, dialect.tls(target))
    settled = settle(dovecot, service, blocks, want, family)
    contents = any(change.before.digest != change.digest for change in changes if isinstance(change, WriteFile))
    if settled:
        return [*changes, *settled]
    if contents:
        return [*changes, ReloadUnit(family.unit, "certificate or key change")]
    if served is not None and served != pair.fingerprint:
        return [*changes, ReloadUnit(family.unit, "it still serves another certificate")]
    return changes


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
