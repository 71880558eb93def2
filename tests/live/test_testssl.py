"""testssl.sh and our own table agree about a server that is bad in every way that both can tell.

That they agree about good ones is told by the contract, on every lab server.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest
from theirs import Verdicts, ours, theirs

from mailhost.probes.target import Target
from runbook import lab

NAME = "mail.example.test"


@pytest.mark.live
def test_they_agree_about_old_versions_an_unknown_root_and_another_name(tmp_path: Path) -> None:
    lab.issue(["other.example.test"], self_signed=True).write(tmp_path)
    lab.issue([NAME]).write(tmp_path / "good")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", f"{tmp_path}/leaf.pem",
             "-key", f"{tmp_path}/key.pem", "-cipher", "DEFAULT@SECLEVEL=0", "-no_tls1_3", "-quiet"]  # fmt: skip
    target = Target("imaps", "127.0.0.1", port, NAME)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            time.sleep(0.5)
            root = tmp_path / "good/root.pem"
            mine, other = ours(target, root), theirs(target, root, tmp_path)
        finally:
            server.kill()
    assert mine == other == Verdicts(("TLSv1", "TLSv1.1", "TLSv1.2"), chain=False, name=False)
