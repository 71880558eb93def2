"""Servers on the loopback that do what a script says."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mailhost.probes.target import Service, Target

Script = Callable[[socket.socket], None]
LIMIT = 1.0


@contextmanager
def serving(script: Script, service: Service) -> Iterator[Target]:
    """A server on the loopback that does what the script says with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                script(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield Target(service, "127.0.0.1", listener.getsockname()[1], "mail.example.test")
        listener.shutdown(socket.SHUT_RDWR)


def tls_server(issued: Any, folder: Path) -> ssl.SSLContext:
    """The server's side of TLS with this certificate; its root is in ``root.pem``."""
    (folder / "chain.pem").write_text(issued.fullchain)
    (folder / "key.pem").write_text(issued.key)
    (folder / "root.pem").write_text(issued.root)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context
