"""Secrets in, ``***`` out: applied to everything before it is stored or shown.

A secret is registered the moment that it is revealed (`secret_from`), together with the shapes in
which it travels: quoted for a shell, base64 of SASL PLAIN. Private keys in PEM form are
recognised without being registered, since a server may print one that we have never seen (Dovecot 2.4 does
so for ``ssl_server_key_file = </path``).
"""

from __future__ import annotations

import base64
import re
import shlex
import threading

MASK = "***"
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)", re.DOTALL
)
# crypt(3) hashes, as in /etc/shadow or an overlooked passwd-file
_CRYPT = re.compile(r"\$(?:1|2[aby]|5|6|y|7|gy)\$[./A-Za-z0-9$=,]{8,}")
# Settings of the owner's that hold a password, as doveconf prints them: 2.2.10 hides none of them. Words that stand
# for a value (#hidden..., %u, a file behind "<") tell nothing.
_SETTING = re.compile(
    r"^([^\S\n]*(?:[a-z0-9_]*_)?(?:password|secret|nonce|api_key) = )(?![#%<*])\S[^\n]*", re.MULTILINE
)
_ARGS = re.compile(r"^[^\S\n]*args = [^\n]*", re.MULTILINE)
_IN_ARGS = re.compile(r"\b(password|pass|secret)=(?![#%*])\S+")

_secrets: tuple[str, ...] = ()  # the longest first: one may be a part of another
_lock = threading.Lock()


def register(secret: str, *, login: str = "") -> None:
    """Have every later `redact` mask this secret, in each shape in which it travels."""
    if not secret:
        return
    shapes = {secret, shlex.quote(secret), base64.b64encode(secret.encode()).decode()}
    if login:
        shapes.add(base64.b64encode(f"\0{login}\0{secret}".encode()).decode())
        shapes.add(base64.b64encode(f"{login}\0{login}\0{secret}".encode()).decode())
    with _lock:
        global _secrets  # noqa: PLW0603 - replaced as a whole, so that readers need no lock
        _secrets = tuple(sorted({*_secrets, *shapes}, key=len, reverse=True))


def redact(text: str) -> str:
    """The text with every registered secret, private key, password hash and password in a setting masked."""
    for shape in _secrets:
        text = text.replace(shape, MASK)
    # most texts are short and hold nothing of the kind: a look for what each pattern must contain is the quicker one
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(f"[private key {MASK}]", text)
    if " = " in text:
        text = _SETTING.sub(rf"\g<1>{MASK}", text)
        text = _ARGS.sub(lambda line: _IN_ARGS.sub(rf"\g<1>={MASK}", line[0]), text)
    return _CRYPT.sub(MASK, text) if "$" in text else text


def holds_secret(text: str) -> bool:
    """Whether the text holds something that `redact` would mask: the last scan over a record."""
    return redact(text) != text
