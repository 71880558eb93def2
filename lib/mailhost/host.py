"""One server over SSH: connect, run, batch, forward. The only module that imports fabric.

A batch is many commands in one round trip: one shell script on the remote shell's standard input, each
command with its own time limit, output and exit code. What a command is given is quoted here and
nowhere else; secrets travel on standard input and never in a command line.
"""

from __future__ import annotations

import base64
import io
import logging
import re
import secrets
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import fabric
import fabric.runners
import invoke.exceptions
import paramiko

from mailhost import known_hosts, ways
from mailhost.errors import (
    CommandError,
    ConnectError,
    ConnectionLost,
    HostKeyError,
    LoginRefused,
    SudoRefused,
    Unreachable,
)
from mailhost.redact import redact
from mailhost.sheet import Sheet, secret
from mailhost.transcript import Transcript

# paramiko prints its own log lines to a person's terminal when nobody else takes them
logging.getLogger("paramiko").addHandler(logging.NullHandler())

TIMED_OUT = 124  # what coreutils' timeout returns
_KILL_AFTER = 5  # seconds between TERM and KILL

_PROHIBITED = 1  # RFC 4254, section 5.1: sshd's administrator forbids it; 2 is a connect that failed

_CHUNK = 32768  # bytes that a tunnel passes on at once

# A client on the server's shell, for an sshd that forbids forwarding: bash is there on all that we know of
_RELAY = 'exec 3<>"/dev/tcp/$1/$2" || exit; cat <&3 & cat >&3; kill $!'

# paramiko still offers these; RFC 8758, RFC 9142 and every hardening guide say not to
_WEAK = {
    "macs": ["hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"],
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
}


@dataclass(frozen=True)
class Command:
    """One command for the server: words that no shell interprets.

    argv     the words; `sh` makes one of a piece of shell
    ok       exit codes that are accepted; None accepts each of them
    timeout  seconds, enforced on the server
    stdin    bytes for its standard input; they are never recorded
    """

    argv: tuple[str, ...]
    ok: frozenset[int] | None = frozenset({0})
    timeout: int = 60
    stdin: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The command as a person would type it."""
        return shlex.join(self.argv)


def cmd(*argv: str, ok: Sequence[int] | None = (0,), timeout: int = 60, stdin: bytes | None = None) -> Command:
    """A command of plain words."""
    return Command(argv, None if ok is None else frozenset(ok), timeout, stdin)


def sh(
    script: str, *args: str, ok: Sequence[int] | None = (0,), timeout: int = 60, stdin: bytes | None = None
) -> Command:
    """A piece of POSIX shell; values come in as ``$1``, ``$2`` ..., never inside the text."""
    return cmd("sh", "-c", script, "sh", *args, ok=ok, timeout=timeout, stdin=stdin)


def numbered(commands: Iterable[Command]) -> dict[str, Command]:
    """Commands under their numbers, for `Host.batch`."""
    return {str(number): command for number, command in enumerate(commands)}


@dataclass(frozen=True)
class Result:
    """What one command said. ``n`` is its number in the transcript."""

    command: Command
    code: int
    stdout: str
    stderr: str
    n: int = 0

    @property
    def ok(self) -> bool:
        """Whether the exit code is one of those that the command accepts."""
        return self.command.ok is None or self.code in self.command.ok

    def error(self) -> CommandError:
        """The error for an exit code that is not accepted."""
        last = "\n".join((self.stderr.strip() or self.stdout.strip()).splitlines()[-5:])
        why = f"did not end within {self.command.timeout} s" if self.code == TIMED_OUT else f"exit code {self.code}"
        return CommandError(
            redact(f"{self.command}: {why}" + (f"\n{last}" if last else "")),
            remedy=f"see entry {self.n} of the transcript; run the command by hand on the server.",
        )

    def checked(self) -> Result:
        """This result, or CommandError when its exit code is not accepted."""
        if not self.ok:
            raise self.error()
        return self


class _Runner(fabric.runners.Remote):  # type: ignore[misc]  # fabric has no types
    """Fabric's runner without its waits: it polls every 10 ms and sends input byte by byte."""

    input_sleep = 0.001

    def read_our_stdin(self, input_: Any) -> str | None:
        return str(input_.read(32768))


class _Strict(fabric.Connection):  # type: ignore[misc]  # fabric has no types
    """Fabric's connection with host keys checked; Fabric itself accepts any key in silence."""

    hop: ways.Hop
    known_as: str  # its name in known_hosts
    said: IO[bytes] | None  # what a ProxyCommand says

    def __init__(
        self, hop: ways.Hop, *, before: _Strict | None, known: tuple[known_hosts.Line, ...], connect_timeout: int
    ) -> None:
        name = hop.host if hop.port == ways.SSH_PORT else f"[{hop.host}]:{hop.port}"
        keys = {"key_filename": list(hop.keys), "look_for_keys": not hop.only, "allow_agent": not hop.only}
        super().__init__(
            hop.host,
            user=hop.user,
            port=hop.port,
            # neither ssh's configuration nor fabric's own: `ways` has said all
            config=fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True, overrides=_RUNNERS),
            gateway=before or hop.command or False,
            forward_agent=False,
            connect_timeout=connect_timeout,
            connect_kwargs=keys
            | {"disabled_algorithms": _WEAK, "banner_timeout": 30, "auth_timeout": 30}
            | {"transport_factory": partial(_transport, known_hosts.kinds(known, name))},
        )
        self._set(hop=hop, known_as=name, said=None)  # fabric makes a setting of any other attribute
        self.client.set_missing_host_key_policy(_Known(known))

    def open_gateway(self) -> Any:
        """What the connection goes through; paramiko's own ProxyCommand never notices that the command has ended."""
        if not isinstance(self.gateway, str):
            return super().open_gateway()
        ours, theirs = socket.socketpair()
        self._set(said=tempfile.TemporaryFile())  # noqa: SIM115  # open as long as the command may say something
        with theirs:
            # a session of its own: what interrupts a cell must not end the connection that tidies up
            subprocess.Popen(
                ["sh", "-c", f"exec {self.gateway}"],
                stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self.said, start_new_session=True,
            )  # fmt: skip
        return ours

    @property
    def past(self) -> tuple[ways.Hop, ...]:
        """The jump hosts that it leads past."""
        return (*self.gateway.past, self.gateway.hop) if isinstance(self.gateway, _Strict) else ()

    @property
    def by_hand(self) -> str:
        """The command that takes a person the same way."""
        jumps = f"-J {','.join(map(str, self.past))} " if self.past else ""
        return f"ssh {jumps}-p {self.port} {self.user}@{self.host}"

    @property
    def last_words(self) -> str:
        """What a ProxyCommand said last, in brackets; empty where there is none."""
        if self.said is None:
            return ""
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return f" (ProxyCommand {self.gateway}: {redact(lines[-1]) if lines else 'it said nothing'})"


_RUNNERS = {"runners": {"remote": _Runner}}


class _Distrusted(paramiko.SSHException):
    """A key that known_hosts does not vouch for."""

    def __init__(self, key: known_hosts.Key, judged: known_hosts.Judgement) -> None:
        super().__init__(judged.state)
        self.key = key
        self.judged = judged


class _Known(paramiko.MissingHostKeyPolicy):
    """Judges every key; paramiko's own store knows one key of a kind, no patterns and no revocation."""

    def __init__(self, lines: tuple[known_hosts.Line, ...]) -> None:
        self.lines = lines

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        shown = _key(key)
        judged = known_hosts.judge(self.lines, hostname, shown)
        if judged.state != "known":
            raise _Distrusted(shown, judged)


def _transport(kinds: frozenset[str], sock: Any, **keywords: Any) -> paramiko.Transport:
    """A connection that asks the server first for the kinds of key that are known of it."""
    made = paramiko.Transport(sock, **keywords)
    options = made.get_security_options()
    options.key_types = sorted(
        options.key_types, key=lambda kind: ("ssh-rsa" if kind.startswith("rsa-") else kind) not in kinds
    )
    return made


def _read_known(path: Path) -> tuple[known_hosts.Line, ...]:
    try:
        return known_hosts.read(path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "")
    except OSError as error:
        raise HostKeyError(
            f"{path} cannot be read: {_reason(error)}",
            follows="the server cannot be told from an impostor; nothing was connected to.",
            remedy="make it readable, or name another file in ssh.known_hosts.",
        ) from error


@dataclass
class Host:
    """An open connection to one server, as root or with sudo.

    Counts round trips (exec requests and opened forwards) and connections (the jump host's too).
    """

    connection: _Strict
    transcript: Transcript
    shell: str = "sh -s"
    sudo_line: str = ""
    round_trips: int = 0
    connections: int = 1
    host_key: str = ""
    address: str = ""

    def run(self, command: Command) -> Result:
        """Run one command in one round trip. Raises ConnectionLost; look at ``.ok`` or use ``.checked()``."""
        return self.batch({"": command})[""]

    def batch(self, commands: Mapping[str, Command], *, stop: bool = False) -> dict[str, Result]:
        """Run many commands in one round trip, each with its own output and exit code.

        With ``stop``, nothing runs after the first exit code that is not accepted, and the results end
        there. The commands are in the transcript before they are sent. Raises ConnectionLost.
        """
        if not commands:
            return {}
        mark = secrets.token_hex(8)
        script = _script(commands, mark, stop=stop)
        self.transcript.add("send", commands=[str(c) for c in commands.values()])
        limit = sum(c.timeout + _KILL_AFTER for c in commands.values()) + 30
        started = time.monotonic()
        out, err = self._exec(self.shell, self.sudo_line + script, limit)
        seconds = round(time.monotonic() - started, 3)
        outs, errs = _split(out, mark), _split(err, mark)
        results: dict[str, Result] = {}
        for index, (name, command) in enumerate(commands.items()):
            if index not in outs:
                if not stop or not results:
                    raise ConnectionLost(
                        f"the server's shell ended before {command} was done",
                        follows="what was under way may be half done.",
                        remedy=f"run it again. The shell's last words: {redact(err.strip()[-300:]) or 'none'}",
                    )
                break
            stdout, code = outs[index]
            stderr, _ = errs.get(index, ("", 0))
            n = self.transcript.add(
                "command",
                command=str(command),
                stdin=None if command.stdin is None else f"{len(command.stdin)} bytes, not recorded",
                code=code,
                stdout=stdout,
                stderr=stderr,
                batch_seconds=seconds,
            )
            results[name] = Result(command, code, redact(stdout), redact(stderr), n)
        return results

    def _exec(self, command: str, stdin: str, limit: float) -> tuple[str, str]:
        self.round_trips += 1
        try:
            result = self.connection.run(
                command, in_stream=io.StringIO(stdin), hide=True, warn=True, timeout=limit, encoding="utf-8"
            )
        except invoke.exceptions.CommandTimedOut as error:
            raise ConnectionLost(
                f"the server did not finish within {limit:.0f} s",
                follows="the commands may still be running there.",
                remedy="look at the server's load and at the transcript, then run it again.",
            ) from error
        except (invoke.exceptions.ThreadException, paramiko.SSHException, EOFError, OSError) as error:
            raise _lost(error) from error
        if result.exited == -1:  # paramiko's word for "no exit status came"
            raise _lost(EOFError("no exit status came"))
        return result.stdout, result.stderr

    @contextmanager
    def forward(self, port: int, *, address: str = "127.0.0.1", origin: str = "server") -> Iterator[tuple[str, int]]:
        """A local (address, port) that leads through SSH to the server's loopback, or from the jump host.

        What arrives through ``origin="server"`` counts as local to Dovecot, hence as secured. Where nobody listens
        there, a client is hung up on. Where sshd forbids forwarding, a shell on the server passes the bytes on.
        """
        connection = self.jump if origin == "jump" else self.connection

        def opened(peer: tuple[str, int]) -> paramiko.Channel:
            self.round_trips += 1
            transport = connection.transport
            try:
                channel: paramiko.Channel = transport.open_channel("direct-tcpip", (address, port), peer, timeout=15)
            except paramiko.ChannelException as error:
                if error.code != _PROHIBITED or origin == "jump":
                    raise
                self.round_trips += 1
                channel = transport.open_session(timeout=15)
                channel.exec_command(f"exec bash -c {shlex.quote(_RELAY)} relay {shlex.quote(address)} {port}")
            return channel

        # fabric's forward_local yields before its port listens, and its tunnel asks a channel for a file descriptor:
        # paramiko writes to that while the tunnel closes it, and the whole connection dies of it
        with socket.create_server(("127.0.0.1", 0)) as listener:
            finished = threading.Event()
            opener = threading.Thread(target=_accept, args=(listener, opened, finished), daemon=True)
            opener.start()
            try:
                yield "127.0.0.1", listener.getsockname()[1]
            finally:
                finished.set()
                opener.join(timeout=5)

    @property
    def jump(self) -> _Strict:
        """The connection to the jump host. Raises ConnectError when there is none."""
        gateway = self.connection.gateway
        if not isinstance(gateway, _Strict):
            raise ConnectError("this server is not reached by a jump host", remedy="set ssh.jump in the sheet.")
        return gateway

    def reach_from_jump(self, address: str, port: int, timeout: float) -> str:
        """``open``, ``refused``, ``timeout`` or ``unknown: ...``: a connect from the jump host."""
        self.round_trips += 1
        try:
            self.jump.transport.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout).close()
        except paramiko.ChannelException as error:
            return f"unknown: {error.text}" if error.code == _PROHIBITED else _connect_failed(error.text)
        except paramiko.SSHException:
            return "timeout"
        return "open"

    def close(self) -> None:
        """End the connection, the jump hosts' included."""
        connection: object = self.connection
        while isinstance(connection, _Strict):
            connection.close()
            connection = connection.gateway


def _accept(
    listener: socket.socket, opened: Callable[[tuple[str, int]], paramiko.Channel], finished: threading.Event
) -> None:
    """Lead every connection to ``listener`` through a channel of its own until ``finished`` is set."""
    listener.settimeout(0.05)
    tunnels: list[tuple[socket.socket, paramiko.Channel, threading.Thread]] = []
    while not finished.is_set():
        try:
            client, peer = listener.accept()
        except TimeoutError:
            continue
        client.setblocking(True)
        try:
            channel = opened(peer)
        except (paramiko.SSHException, EOFError, OSError):
            client.close()  # the client sees what it would see: a connection that is closed at once
            continue
        tunnel = threading.Thread(target=_join, args=(client, channel), daemon=True)
        tunnel.start()
        tunnels.append((client, channel, tunnel))
    for client, channel, tunnel in tunnels:
        with suppress(OSError):  # it has ended by itself
            client.shutdown(socket.SHUT_RDWR)
        tunnel.join(timeout=2)
        channel.close()  # a tunnel that still hangs


def _join(client: socket.socket, channel: paramiko.Channel) -> None:
    """Pass bytes both ways until the client has ended, who sees it when the server has."""
    back = partial(_pour, channel.recv, client.sendall, partial(client.shutdown, socket.SHUT_WR))
    returning = threading.Thread(target=back, daemon=True)
    returning.start()
    # close and not shutdown_write: that lets go of the channel's lock before it sends, and sshd ends the whole
    # connection when another thread's close comes first
    _pour(client.recv, channel.sendall, channel.close)
    returning.join()
    client.close()


def _pour(source: Callable[[int], bytes], sink: Callable[[bytes], object], end: Callable[[], object]) -> None:
    """Pass on what comes, and then that nothing more will come; when one end is gone there is nobody to tell."""
    with suppress(OSError, EOFError, paramiko.SSHException):
        while data := source(_CHUNK):
            sink(data)
    with suppress(OSError, EOFError, paramiko.SSHException):
        end()


def _connect_failed(text: str) -> str:
    return "timeout" if "timed out" in text.lower() else "refused"


def connect(sheet: Sheet, transcript: Transcript) -> Host:
    """Connect to the sheet's server and become root. One connection, one round trip.

    Raises HostKeyError, LoginRefused, Unreachable or SudoRefused, each with what to do.
    """
    ssh = sheet.ssh
    file = Path(ssh.known_hosts or "~/.ssh/known_hosts").expanduser()
    known = _read_known(file)
    with ExitStack() as opened:  # what did not lead to root on the server is closed

        def link(hop: ways.Hop, before: _Strict | None) -> _Strict:
            made = _Strict(hop, before=before, known=known, connect_timeout=ssh.connect_timeout)
            opened.callback(made.client.close)
            _open(made, file)
            return made

        first, *others = ways.hops(sheet)
        connection = link(first, None)
        for hop in others:
            connection = link(hop, connection)
        host = _host(connection, transcript)
        if ssh.user != "root":
            _become_root(host, sheet)
        opened.pop_all()
    return host


def _host(connection: _Strict, transcript: Transcript) -> Host:
    """The server at the end of a connection, in the transcript."""
    direct = connection.gateway is False
    host = Host(
        connection,
        transcript,
        connections=1 + len(connection.past),
        host_key=str(_key(connection.transport.get_remote_server_key())),
        address=connection.transport.getpeername()[0] if direct else connection.host,
    )
    transcript.add(
        "connect",
        host=connection.host,
        port=connection.port,
        user=connection.user,
        jump=[str(hop) for hop in connection.past],
        proxy_command=next((hop.command for hop in (*connection.past, connection.hop) if hop.command), None),
        host_key=host.host_key,
    )
    return host


def _become_root(host: Host, sheet: Sheet) -> None:
    user = sheet.ssh.user
    probe, why = host._exec("sudo -n id -u 2>&1; true", "", 60)  # noqa: SLF001
    if "must have a tty" in probe:  # Red Hat's sudoers up to 7
        raise SudoRefused(
            f"sudo on {sheet.ssh_host} wants a terminal of {user}: {redact(probe.strip())}",
            follows="nothing can be read reliably and nothing was changed.",
            remedy=f"put `Defaults:{user} !requiretty` into the server's sudoers (visudo), or log in as root.",
        )
    if probe.strip() == "0":
        host.shell = "sudo -n sh -s"
        return
    if sheet.ssh.sudo_password is None:
        raise SudoRefused(
            f"{user} cannot become root on {sheet.ssh_host}: {redact((probe + why).strip()) or 'sudo said nothing'}",
            follows="nothing can be read reliably and nothing was changed.",
            remedy="log in as root, allow passwordless sudo, or give ssh.sudo_password a reference in the sheet.",
        )
    word = secret(sheet.ssh.sudo_password, what=sheet.ssh.sudo_word)
    if "\n" in word:
        raise SudoRefused(f"the sudo password of {user} has a line break in it", remedy="check the reference.")
    # -k: a cached ticket would leave the password on standard input, where the shell would run it
    host.shell, host.sudo_line = "sudo -k -S -p '' sh -s", word + "\n"
    out, err = host._exec(host.shell, host.sudo_line + "id -u\n", 60)  # noqa: SLF001
    if out.strip() != "0":
        raise SudoRefused(
            f"sudo refused {user}'s password on {sheet.ssh_host}: {redact(err.strip().splitlines()[0]) if err else ''}",
            follows="nothing was changed.",
            remedy="check the password behind ssh.sudo_password and the server's sudoers.",
        )


def _open(connection: _Strict, file: Path) -> None:
    hop, where = connection.hop, connection.hop.at
    key = " or ".join(hop.keys) or "found in ~/.ssh"
    try:
        connection.open()
        if connection.gateway is False:
            connection.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # 48 ms a command without
    except _Distrusted as error:
        raise _host_key_error(connection, file, error.key, error.judged) from error
    except paramiko.PasswordRequiredException as error:
        raise LoginRefused(
            f"the private key {key} is encrypted",
            remedy="load it into ssh-agent (ssh-add) and leave ssh.key out, or name an unencrypted deployment key.",
        ) from error
    except paramiko.AuthenticationException as error:
        raise LoginRefused(
            f"{where} refused the login of {connection.user}: {error}",
            follows="nothing was changed.",
            remedy=f"check {hop.who} with `{connection.by_hand}`; sshd before 7.2 (CentOS 7) needs an ed25519 or ecdsa "
            "user key, not RSA.",
        ) from error
    except (paramiko.ssh_exception.NoValidConnectionsError, paramiko.ChannelException, OSError, EOFError) as error:
        raise Unreachable(
            f"{where} does not answer by SSH: {_reason(error)}{connection.last_words}",
            follows="nothing was changed.",
            remedy=f"check {hop.where}, the network and the firewall in between.",
        ) from error
    except paramiko.SSHException as error:
        if "Invalid key" in str(error) or "private key" in str(error).lower():
            raise LoginRefused(
                f"the private key {key} cannot be used with {where}: {error}",
                remedy="use an ed25519 or ecdsa key; sshd before 7.2 (CentOS 7) does not work with RSA keys here.",
            ) from error
        raise Unreachable(
            f"no SSH session with {where}: {error}{connection.last_words}",
            follows="nothing was changed.",
            remedy="run that command by hand."
            if hop.command
            else "look at sshd's log on the server; it must offer algorithms that are not broken (no CBC, no SHA-1).",
        ) from error


def _host_key_error(
    connection: _Strict, file: Path, shown: known_hosts.Key, judged: known_hosts.Judgement
) -> HostKeyError:
    """What is wrong with a key, and what to do about it on the server's console and in known_hosts."""
    whose = f"the SSH host key of {connection.hop.at}"
    kind = shown.kind.removeprefix("ssh-").partition("-")[0]
    compare = f"with `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` on the server's console"
    if judged.state == "revoked":
        return HostKeyError(
            f"{whose} is REVOKED: it shows {shown}, which line {judged.lines[0].number} of {file} revokes",
            follows="whoever has that key can pass for the server; nothing was sent to it.",
            remedy="have a new host key made on the server's console "
            f"(`rm /etc/ssh/ssh_host_{kind}_key*; ssh-keygen -A`, then restart sshd) and add it to {file}; "
            "the line that revokes the old one stays.",
        )
    if judged.state == "changed":
        known = ", ".join(f"{line.key} (line {line.number})" for line in judged.lines)
        pattern = next((line for line in judged.lines if line.has_pattern), None)
        forget = f"`ssh-keygen -R '{connection.known_as}' -f {file}`"
        if pattern is not None:  # ssh-keygen would remove the whole line, which other servers need
            forget = f"correct line {pattern.number} of {file}, which speaks of other servers too,"
        return HostKeyError(
            f"{whose} has CHANGED: it shows {shown}, {file} has {known}",
            follows="this may be another machine in between; nothing was sent to it.",
            remedy=f"compare {compare}; when it is right, {forget} and add the new key.",
        )
    return HostKeyError(
        f"{whose} is not in {file}: it shows {shown}",
        follows="the server cannot be told from an impostor; nothing was sent to it.",
        remedy=f"`{_scan(connection, file)}`, compare the fingerprint {compare}, and add the line.",
    )


def _scan(connection: _Strict, file: Path) -> str:
    """The command that shows a person the server's keys from where it can be reached."""
    if connection.hop.command:
        return connection.by_hand.replace("ssh ", f"ssh -o UserKnownHostsFile={file} ", 1)
    scan = f"ssh-keyscan -p {connection.port} {connection.host}"
    return f"{connection.gateway.by_hand} {scan}" if connection.past else scan


def _reason(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return "; ".join(dict.fromkeys(_reason(each) for each in error.errors.values()))
    if isinstance(error, paramiko.ChannelException):
        return error.text.lower()  # what the jump host says of it
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _key(key: paramiko.PKey) -> known_hosts.Key:
    return known_hosts.Key(key.get_name(), key.asbytes())


def _lost(error: BaseException) -> ConnectionLost:
    return ConnectionLost(
        f"the connection broke: {_reason(error)}",
        follows="the step that was under way may be half done; every file is written whole or not at all.",
        remedy="run it again: it looks first and changes only what is still missing.",
    )


_HEADER = """\
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C; export PATH LC_ALL
unset LANGUAGE; umask 022
"""


def _script(commands: Mapping[str, Command], mark: str, *, stop: bool) -> str:
    """The shell script of a batch: a function that is called by its last line, so that half a script does nothing."""
    lines = [_HEADER, "main() {"]
    for index, command in enumerate(commands.values()):
        words = f"timeout -k {_KILL_AFTER} {command.timeout} {shlex.join(command.argv)}"
        if command.stdin is None:
            lines.append(f"{words} </dev/null; rc=$?")
        else:
            # printf is the shell's own, so the bytes are in no command line
            lines.append(f"printf %s {base64.b64encode(command.stdin).decode()} | base64 -d | {words}; rc=$?")
        lines.append(f"printf '\\n@{mark} {index} %s\\n' $rc; printf '\\n@{mark} {index} %s\\n' $rc >&2")
        if stop and command.ok is not None:
            lines.append(f"case $rc in {'|'.join(str(code) for code in sorted(command.ok))}) ;; *) return 0;; esac")
    lines += ["}", "main", ""]
    return "\n".join(lines)


def _split(text: str, mark: str) -> dict[int, tuple[str, int]]:
    """Position of a command to (its output, its exit code)."""
    parts = re.split(rf"\n@{mark} (\d+) (\d+)\n", text)
    return {int(parts[i + 1]): (parts[i], int(parts[i + 2])) for i in range(0, len(parts) - 2, 3)}
