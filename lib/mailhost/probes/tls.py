"""TLS as a client sees it: ``openssl s_client`` against every TLS port and every STARTTLS.

Two calls each, since s_client either shows everything and believes anyone, or refuses with little said: the
first (without -verify_return_error) gives the table, the second (with it) gives the verdict by its exit code.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mailhost import pki
from mailhost.parse import s_client
from mailhost.parse.s_client import Said
from mailhost.probes.certificate import Certificate, decode
from mailhost.probes.parallel import parallel
from mailhost.probes.target import Target, bracketed

_OUTPUT_LIMIT = 256 * 1024
Broke = Literal["", "tls", "refused", "timeout", "unreachable", "local"]


@dataclass(frozen=True)
class TlsSeen:
    """What TLS on one port looks like.

    error     why there is nothing to see; None when hands were shaken
    broke     the kind of that: ``tls`` for a server that answers and does not shake hands, ``refused`` for one
              that does not listen; ``timeout``, ``unreachable`` and ``local`` leave it open what is there
    verified  chain and name against the trusted roots: True, False, or None when that could not be found out
    problems  why not, as (code, text) of OpenSSL
    chain     certificates as sent, the leaf first
    command   what was run, as a person would type it; ``output`` is what it said
    evidence  numbers of transcript entries
    """

    target: Target
    error: str | None = None
    broke: Broke = ""
    protocol: str = ""
    cipher: str = ""
    verified: bool | None = None
    verify_code: int | None = None
    verify_text: str = ""
    problems: tuple[tuple[int, str], ...] = ()
    chain: tuple[Certificate, ...] = ()
    temp_key: str = ""
    signing_digest: str = ""
    command: str = field(default="", repr=False)
    output: str = field(default="", repr=False)
    evidence: tuple[int, ...] = ()

    @property
    def leaf(self) -> Certificate | None:
        """The server's own certificate; None when none was seen."""
        return self.chain[0] if self.chain else None


def look(targets: Iterable[Target], roots: str | None = None, *, timeout: float = 15) -> list[TlsSeen]:
    """Shake hands with each target and tell what was seen, all in parallel.

    ``roots`` is a PEM file of the roots to trust; None trusts this machine's. Intermediates in it are left
    out, so that a server which does not send its own cannot pass.
    """
    wanted = list(targets)
    with _roots_only(roots) as trust:
        calls = [(_run, (arguments(t, trust, strict=s), timeout)) for t in wanted for s in (False, True)]
        ran = parallel(calls)
    return [_seen(target, ran[2 * n], ran[2 * n + 1]) for n, target in enumerate(wanted)]


def arguments(target: Target, roots: str | None, *, strict: bool) -> list[str]:
    """The command for a target, as words."""
    host, port = target.endpoint
    words = ["openssl", "s_client", "-connect", f"{bracketed(host)}:{port}", "-showcerts"]
    if _is_address(target.name):
        words += ["-verify_ip", target.name]  # an address is no server name (RFC 6066)
    else:
        words += ["-servername", target.name, "-verify_hostname", target.name]
    if roots is not None:
        words += ["-CAfile", roots]
    if not target.implicit_tls:
        words += ["-starttls", target.protocol]
    if strict:
        words += ["-verify_return_error"]
    return words


@dataclass(frozen=True)
class _Ran:
    words: list[str]
    code: int | None
    stdout: str
    stderr: str
    why_not: str = ""


def _run(words: list[str], timeout: float) -> _Ran:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/"}
    if "-CAfile" in words:
        # Only these roots count: what this machine trusts besides must not complete a chain.
        environment |= {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, timeout=timeout, check=False
            )
        except FileNotFoundError:
            return _Ran(words, None, "", "", "the command openssl is not on this machine")
        except subprocess.TimeoutExpired:
            return _Ran(words, None, _head(out.fileno()), _head(err.fileno()), f"no handshake within {timeout:g} s")
        return _Ran(words, done.returncode, _head(out.fileno()), _head(err.fileno()))


def _head(descriptor: int) -> str:
    return os.pread(descriptor, _OUTPUT_LIMIT, 0).decode("utf-8", errors="replace")


def _seen(target: Target, shown: _Ran, strict: _Ran) -> TlsSeen:
    said = s_client.parse(shown.stdout, shown.stderr)
    command, output = shlex.join(shown.words), s_client.without_secrets(shown.stdout + shown.stderr)
    if shown.why_not or not said.shook_hands:
        error, broke = _why(said, shown)
        return TlsSeen(target, error, broke, command=command, output=output)
    try:
        chain = tuple(decode(pem) for pem in said.chain)
    except ValueError as why:
        return TlsSeen(target, f"what was sent is no certificate: {why}", "tls", command=command, output=output)
    return TlsSeen(
        target,
        protocol=said.protocol,
        cipher=said.cipher,
        verified=_verdict(said, strict),
        verify_code=said.verify_code,
        verify_text=said.verify_text,
        problems=said.problems,
        chain=chain,
        temp_key=said.temp_key,
        signing_digest=said.signing_digest,
        command=command,
        output=output,
    )


def _verdict(said: Said, strict: _Ran) -> bool | None:
    """Good only where both calls say so, bad only where both do; None where they differ."""
    if strict.code is None:
        return None
    good = said.verify_code == 0 and not said.problems
    return good if good == (strict.code == 0) else None


def _why(said: Said, ran: _Ran) -> tuple[str, Broke]:
    """Why there was no handshake, and of which kind that is."""
    if ran.code is None:
        return ran.why_not, "timeout" if "within" in ran.why_not else "local"
    first = next(iter(said.errors), (ran.stderr.strip().splitlines() or ["openssl said nothing"])[-1])
    if "CONNECTED(" in ran.stdout:
        return f"no handshake: {_WORDS.get(first, first)}", "tls"
    if first == "Connection refused":
        return "connection refused", "refused"
    # Anything that openssl complains about before it connects is about its arguments: the file of roots.
    return (f"no connection: {first}", "unreachable") if "connect" in ran.stderr else (f"openssl: {first}", "local")


# OpenSSL's words for what it did not expect, in those of somebody who looks for the fault
_WORDS = {
    "wrong version number": "the server went on in clear text",
    "packet length too long": "the server went on in clear text",
    "unexpected eof while reading": "the server closed the connection",
    "write: errno 104": "the server closed the connection",
    "read: errno 104": "the server closed the connection",
    "read: errno 0": "the server closed the connection",
    "write: errno 32": "the server closed the connection",
}


@contextmanager
def _roots_only(roots: str | None) -> Iterator[str | None]:
    """A file with only the self-issued certificates of another; that one itself where it holds none."""
    if roots is None:
        yield None
        return
    try:
        held = pki.read_roots(Path(roots).read_bytes())
    except OSError:
        held = ()
    if not held:
        yield roots  # openssl will say what is wrong with it, in the result
        return
    own = [certificate for certificate in held if certificate.subject == certificate.issuer]
    with tempfile.NamedTemporaryFile(prefix="roots-", suffix=".pem") as file:
        file.write(b"".join(pki.as_pem(c) for c in own or held))
        file.flush()
        yield file.name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
