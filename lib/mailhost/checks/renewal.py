"""Whether Dovecot will serve the certificate that the ACME client on the server renews."""

from __future__ import annotations

from mailhost import acme, pki
from mailhost.checks.outcome import judged
from mailhost.facts.certificate_files import File
from mailhost.facts.renewal_hook import RenewalHook
from mailhost.families import Family
from mailhost.finding import Finding
from mailhost.sheet import Sheet


def hook(found: RenewalHook, want: Sheet, family: Family) -> list[Finding]:
    """``renewal-hook``: the deploy hook is there, as it was written, and somebody will run it.

    Nothing to judge where the sheet names no ACME client: whoever renews the certificate applies the sheet again.
    """
    wanted = acme.hook(want.tls, family.unit)
    if wanted is None or want.tls is None:
        return []
    there = {file.path: file for file in found.files}
    problems = [told for part in wanted.parts if (told := _problem(part, there.get(part.path, File(part.path))))]
    if wanted.watch and not found.watching:
        problems.append(f"{wanted.watch} is not {'active' if found.enabled else 'enabled'}")
    return [
        judged(
            not problems,
            "renewal-hook",
            "A renewed certificate is served by itself",
            found,
            subject=wanted.parts[0].path,
            expected=f"run after each renewal by {'systemd' if wanted.watch else want.tls.renewed_by}",
            actual="; ".join(problems) or "as written",
            message=f"{'; '.join(problems)}: after {want.tls.renewed_by} has renewed the certificate Dovecot goes on "
            "serving the old one, until it expires",
            remedy="apply section 05_secure, which installs the deploy hook.",
            severity="high",
        )
    ]


def _problem(part: acme.Part, file: File) -> str:
    if file.digest is None:
        return f"{part.path} is missing"
    if file.digest != pki.sha256(part.text.encode()):
        return f"{part.path} has another content"
    if (file.mode, file.owner) != (part.mode, "root:root"):
        return f"{part.path} is {file.mode} {file.owner}, not {part.mode} root:root"
    return ""
