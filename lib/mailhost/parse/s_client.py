"""The output of ``openssl s_client -showcerts`` -> values; OpenSSL 1.0.2 to 3.x. No certificate is decoded here."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)
_CHAIN = re.compile(r"^Certificate chain$(.*?)^---$", re.DOTALL | re.MULTILINE)
# 3.2 and later say "Protocol: TLSv1.3" above the session, all say "Protocol  : TLSv1.2" in it
_PROTOCOL = re.compile(r"^ *Protocol *: *(\S+)$", re.MULTILINE)
_NEW = re.compile(r"^(?:New|Reused), (\S+), Cipher is (\S+)$", re.MULTILINE)
_VERIFY = re.compile(r"^ *Verify return code: (\d{1,9}) \((.*)\)$", re.MULTILINE)
_PROBLEM = re.compile(r"^verify error:num=(\d{1,9}):(.*)$", re.MULTILINE)
_TEMP_KEY = re.compile(r"^(?:Server|Peer) Temp Key: (.+)$|^Negotiated TLS1\.3 group: (.+)$", re.MULTILINE)
_DIGEST = re.compile(r"^Peer signing digest: (.+)$", re.MULTILINE)
_SIGNATURE = re.compile(r"^Peer signature type: (.+)$", re.MULTILINE)
# 40D768ABE07F0000:error:0A000086:SSL routines:function:reason:file:line:
_ERROR = re.compile(r"^[^ ]*:?error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):", re.MULTILINE)
_ERRNO = re.compile(r"^(connect|read|write|SSL_connect|connect:.*?):? ?errno ?= ?(\d{1,9})$", re.MULTILINE)
_SESSION_KEY = re.compile(r"^( *(?:Master-Key|Resumption PSK) *: *)[0-9A-Fa-f]+$", re.MULTILINE)


@dataclass(frozen=True)
class Said:
    """What s_client said.

    protocol, cipher   empty when nothing was agreed on
    verify_code, verify_text   of its summary; it names the last problem only
    problems           every problem of the verification, as (code, text), in order
    chain              PEM of each certificate as the server sent it, the leaf first
    temp_key, signing_digest, signature_type   empty when not told
    errors             reasons of OpenSSL's own error lines
    """

    protocol: str = ""
    cipher: str = ""
    verify_code: int | None = None
    verify_text: str = ""
    problems: tuple[tuple[int, str], ...] = ()
    chain: tuple[str, ...] = ()
    temp_key: str = ""
    signing_digest: str = ""
    signature_type: str = ""
    errors: tuple[str, ...] = ()

    @property
    def shook_hands(self) -> bool:
        """Whether the handshake was finished."""
        # "Verify return code: 0 (ok)" stands there without any certificate too: it proves nothing by itself.
        return bool(self.cipher and self.chain) and "certificate verify failed" not in self.errors


def without_secrets(output: str) -> str:
    """The output without the session's keys, and without the NULs that -starttls leaves in it."""
    return _SESSION_KEY.sub(r"\1***", output.replace("\0", ""))


def parse(stdout: str, stderr: str) -> Said:
    """Standard output and standard error of one call of s_client."""
    section = _CHAIN.search(stdout)
    new = next((found for found in _NEW.finditer(stdout) if found[2] != "(NONE)"), None)
    verify = _VERIFY.findall(stdout)
    return Said(
        protocol=_protocol(stdout, new) if new else "",
        cipher=new[2] if new else "",
        verify_code=int(verify[-1][0]) if verify else None,
        verify_text=verify[-1][1] if verify else "",
        problems=tuple(dict.fromkeys((int(code), text.strip()) for code, text in _PROBLEM.findall(stderr))),
        chain=tuple(_PEM.findall(section[1])) if section else (),
        temp_key=_first(_TEMP_KEY, stdout),
        signing_digest=_first(_DIGEST, stdout),
        signature_type=_first(_SIGNATURE, stdout),
        errors=_errors(stderr),
    )


def _protocol(stdout: str, new: re.Match[str]) -> str:
    session = _PROTOCOL.findall(stdout)
    if session:
        return str(session[-1])
    # Without a session the cipher's own version is all there is, and that is only exact for TLS 1.3.
    return new[1] if new[1] == "TLSv1.3" else ""


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    said = next((group.strip() for group in found.groups() if group), "") if found else ""
    return "" if said == "<NULL>" else said


def _errors(stderr: str) -> tuple[str, ...]:
    reasons = [reason.strip() for reason in _ERROR.findall(stderr)]
    numbers = [f"{what}: errno {number}" for what, number in _ERRNO.findall(stderr)]
    return tuple(dict.fromkeys(reasons + numbers))
