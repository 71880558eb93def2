"""The two ends of the SSH connection, as the server sees them: a piece of shell that facts share."""

from __future__ import annotations

# Sets $ssh to "client port server port". sudo clears SSH_CONNECTION, so it is looked for in the processes above.
SSH = """\
process=$$; ssh=${SSH_CONNECTION:-}
while [ -z "$ssh" ] && [ "${process:-1}" -gt 1 ]; do
  ssh=$(tr '\\0' '\\n' 2>/dev/null <"/proc/$process/environ" | sed -n 's/^SSH_CONNECTION=//p')
  process=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$process/status" 2>/dev/null)
done
"""


def ends(connection: str) -> tuple[str, str]:
    """The client's and the server's address out of ``client port server port``; empty when not told."""
    words = connection.split()
    client, server = (words[0], words[2]) if len(words) == 4 else ("", "")  # noqa: PLR2004
    return client.removeprefix("::ffff:"), server.removeprefix("::ffff:")
