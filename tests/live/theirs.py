"""What testssl.sh says about a port, and what we say: the same few verdicts in one shape."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mailhost.probes import offers, tls
from mailhost.probes.target import Target

_VERSIONS = {"SSLv3": "SSLv3", "TLS1": "TLSv1", "TLS1_1": "TLSv1.1", "TLS1_2": "TLSv1.2", "TLS1_3": "TLSv1.3"}
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


@dataclass(frozen=True)
class Verdicts:
    """The versions that are offered, whether the chain is good, and whether the certificate is for the name."""

    versions: tuple[str, ...]
    chain: bool
    name: bool


def ours(target: Target, roots: Path) -> Verdicts:
    """By our own probes; all of them must have come to an end."""
    (seen,), (shaken,) = offers.versions([target]), tls.look([target], str(roots))
    assert not seen.unknown, seen.unknown
    assert shaken.error is None, shaken.error
    codes = {code for code, _ in shaken.problems}
    return Verdicts(seen.offered, chain=not codes - {*_OTHER_NAME}, name=not codes & {*_OTHER_NAME})


def theirs(target: Target, roots: Path, folder: Path) -> Verdicts:
    """By testssl.sh, which asks no name server and nobody else. It takes 5 s of a processor.

    Without this machine's roots, which each of its calls of openssl would read; it brings its own.
    """
    out = folder / f"testssl-{target.address.replace(':', '-')}-{target.port}.json"
    words = ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--ip", target.address,
             "--add-ca", str(roots), "--protocols", "--server-defaults", "--jsonfile", str(out)]  # fmt: skip
    if not target.implicit_tls:
        words += ["-t", target.protocol]
    done = subprocess.run(
        [*words, f"{target.name}:{target.port}"],
        capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL,
        env={**os.environ, "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull},
    )  # fmt: skip
    assert out.exists(), done.stdout + done.stderr
    said = {row["id"]: row["finding"] for row in json.loads(out.read_text())}
    return Verdicts(
        tuple(name for word, name in _VERSIONS.items() if said[word].startswith("offered")),
        chain=said["cert_chain_of_trust"].startswith("passed"),
        name=said["cert_trust"].startswith("Ok"),
    )
