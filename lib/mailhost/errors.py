"""Everything that can go wrong, as one small tree.

MailhostError            what is wrong, what follows, what to do
+-- SheetError           the sheet (or a parameter) is not usable; nothing was connected to
+-- ConnectError         no working connection to the server
|   +-- HostKeyError     the server's SSH key is unknown or has changed
|   +-- LoginRefused     the server answered and refused the login
|   +-- Unreachable      no answer: name, address, port or firewall
|   +-- SudoRefused      logged in, but cannot become root
|   +-- ConnectionLost   the connection broke while it was in use
+-- CommandError         a command ended with an exit code that was not accepted
+-- UnsupportedError     a distribution, systemd or Dovecot that we do not know
+-- StaleStateError      the server is no longer as it was when the change was computed
+-- ApplyError           a change failed; the text says what was undone
"""

from __future__ import annotations


class MailhostError(Exception):
    """An error that a person can act on: what is wrong, what follows from it, what to do."""

    def __init__(self, what: str, *, follows: str = "", remedy: str = "") -> None:
        """Keep the three parts apart, so that tables and JSON can show them apart."""
        self.what = what
        self.follows = follows
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        """The three parts, one a line."""
        parts = [self.what]
        if self.follows:
            parts.append(f"  It follows: {self.follows}")
        if self.remedy:
            parts.append(f"  To do: {self.remedy}")
        return "\n".join(parts)


class SheetError(MailhostError):
    """The sheet or a parameter is not usable."""


class ConnectError(MailhostError):
    """There is no working connection to the server."""


class HostKeyError(ConnectError):
    """The server's SSH host key is unknown, changed or revoked."""


class LoginRefused(ConnectError):
    """The server answered and refused the login."""


class Unreachable(ConnectError):
    """The server did not answer."""


class SudoRefused(ConnectError):
    """Logged in, but root's rights are refused."""


class ConnectionLost(ConnectError):
    """The connection broke while it was in use."""


class CommandError(MailhostError):
    """A command ended with an exit code that was not accepted."""


class UnsupportedError(MailhostError):
    """A distribution, a systemd or a Dovecot that the runbook does not know."""


class StaleStateError(MailhostError):
    """The server is no longer in the state that the change was computed from."""


class ApplyError(MailhostError):
    """A change failed; the text says what was undone and how the server was left."""
