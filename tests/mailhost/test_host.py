"""The host over a real sshd: exact words, exit codes, secrets, time limits, and every way to be refused."""

from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from mailhost import host, sheet
from mailhost.errors import (
    CommandError,
    ConnectionLost,
    HostKeyError,
    LoginRefused,
    SudoRefused,
    Unreachable,
)
from mailhost.host import cmd, sh
from mailhost.transcript import Transcript


def sheet_of(server, **ssh):
    base = sheet.load(server.sheet, base=server.folder)
    return base.model_copy(update={"ssh": base.ssh.model_copy(update=ssh)})


@pytest.fixture(scope="module")
def transcript(tmp_path_factory):
    return Transcript(tmp_path_factory.mktemp("host") / "transcript.jsonl")


@pytest.fixture(scope="module")
def connected(bare, transcript):
    connection = host.connect(sheet_of(bare), transcript)
    yield connection
    connection.close()


HOSTILE = ["it's", "$HOME", "`id`", "$(id)", "a\nb", "; touch /tmp/pwned", "*", '"', "\\", "-n", "ünï", " "]


def test_no_word_is_interpreted_by_the_remote_shell(connected):
    result = connected.run(cmd("printf", "%s\\n", *HOSTILE)).checked()
    assert result.stdout == "".join(word + "\n" for word in HOSTILE)
    assert connected.run(cmd("test", "!", "-e", "/tmp/pwned")).ok


def test_a_piece_of_shell_takes_its_values_as_arguments(connected):
    assert connected.run(sh('printf "%s|" "$@"', *HOSTILE)).stdout == "".join(word + "|" for word in HOSTILE)


def test_a_batch_is_one_round_trip_with_each_commands_own_outputs_and_code(connected):
    before = connected.round_trips
    results = connected.batch(
        {"out": cmd("printf", "no newline"), "err": sh("echo wrong >&2; exit 3"), "stdin": sh("cat; echo done")}
    )
    assert connected.round_trips == before + 1
    assert (results["out"].stdout, results["out"].code) == ("no newline", 0)
    assert (results["err"].stderr, results["err"].code, results["err"].ok) == ("wrong\n", 3, False)
    assert results["stdin"].stdout == "done\n"  # no command eats the rest of the script


def test_what_is_counted_is_what_ssh_really_opened(bare, transcript, monkeypatch):
    connection = host.connect(sheet_of(bare), transcript)
    opened = []
    transport = connection.connection.transport
    original = transport.open_channel
    monkeypatch.setattr(transport, "open_channel", lambda *a, **k: opened.append(a[0]) or original(*a, **k))
    for _ in range(3):
        connection.batch({"a": cmd("true"), "b": cmd("true")})
    with connection.forward(22) as (address, port), socket.create_connection((address, port), 5) as client:
        client.recv(1)
    assert opened == ["session"] * 3 + ["direct-tcpip"]
    assert connection.round_trips == len(opened)
    connection.close()


def test_a_batch_that_stops_runs_nothing_after_a_failure(connected):
    results = connected.batch({"a": cmd("true"), "b": cmd("false"), "c": cmd("touch", "/tmp/went-on")}, stop=True)
    assert list(results) == ["a", "b"]
    assert connected.run(cmd("test", "!", "-e", "/tmp/went-on")).ok


def test_a_command_that_hangs_is_ended_on_the_server_too(connected):
    result = connected.run(cmd("sleep", "4711", timeout=1))
    assert result.code == host.TIMED_OUT
    assert "did not end within 1 s" in str(result.error())
    assert connected.run(sh("! pgrep -f '[s]leep 4711'")).ok


def test_standard_input_is_neither_recorded_nor_in_a_command_line(connected, transcript):
    result = connected.run(sh("cat; cat /proc/*/cmdline | tr '\\0' ' '", stdin=b"pass\x00word-in-stdin\n"))
    assert result.stdout.startswith("pass\x00word-in-stdin\n")
    assert result.stdout.count("word-in-stdin") == 1
    assert "11 bytes" not in transcript.path.read_text()
    entry = json.loads(transcript.path.read_text().splitlines()[-1])
    assert entry["stdin"] == "19 bytes, not recorded"


def test_large_output_and_large_input_arrive_whole(connected):
    assert len(connected.run(sh("head -c 2000000 /dev/zero | tr '\\0' x")).stdout) == 2_000_000
    assert connected.run(cmd("wc", "-c", stdin=b"x" * 400_000)).stdout.strip() == "400000"


def test_a_failed_command_tells_command_code_and_last_lines(connected):
    with pytest.raises(CommandError, match=r"(?s)ls /nonexistent: exit code 2.*No such file"):
        connected.run(cmd("ls", "/nonexistent")).checked()


def test_a_forward_leads_to_the_servers_loopback(connected):
    with connected.forward(22) as (address, port), socket.create_connection((address, port), 5) as client:
        assert client.recv(8) == b"SSH-2.0-"


def test_many_clients_who_come_and_go_leave_the_connection_as_it_is(bare):
    """A tunnel by a file descriptor of paramiko's own had ended it after a hundred or two."""

    def talk(way):
        with socket.create_connection(way, 10) as client:
            begun = client.recv(8)
            client.sendall(b"nonsense\r\n")
            client.recv(200)
            return begun

    bare.run("echo 'MaxStartups 200' > /etc/ssh/sshd_config.d/many.conf; systemctl restart ssh; sleep 1")
    try:
        connection = host.connect(sheet_of(bare), Transcript())
        for _ in range(25):
            with ExitStack() as opened, ThreadPoolExecutor(8) as pool:
                ways = [opened.enter_context(connection.forward(22)) for _ in range(4)]
                assert set(pool.map(talk, ways * 4)) == {b"SSH-2.0-"}
        assert connection.connection.is_connected
        connection.close()
    finally:
        bare.run("rm /etc/ssh/sshd_config.d/many.conf; systemctl restart ssh; sleep 1")


def test_a_server_that_hangs_up_first_is_seen_to_its_last_byte(connected):
    pours = "systemd-socket-activate -l 4712 --inetd -a head -c 300000 /dev/zero"
    connected.run(sh(f"systemd-run -q --collect --unit=pours {pours}; sleep 0.5")).checked()
    received = 0
    with connected.forward(4712) as way, socket.create_connection(way, 10) as client:
        while data := client.recv(65536):
            received += len(data)
    connected.run(cmd("systemctl", "stop", "pours")).checked()
    assert received == 300_000


def test_where_sshd_forbids_forwarding_a_shell_on_the_server_passes_the_bytes_on(bare):
    bare.run("echo 'AllowTcpForwarding no' > /etc/ssh/sshd_config.d/no.conf; systemctl restart ssh; sleep 1")
    try:
        connection = host.connect(sheet_of(bare), Transcript())
        with connection.forward(22) as (address, port), socket.create_connection((address, port), 5) as client:
            assert client.recv(8) == b"SSH-2.0-"
            client.sendall(b"nonsense\r\n")
            assert b"Invalid SSH" in client.recv(200) + client.recv(200)
        connection.close()
    finally:
        bare.run("rm /etc/ssh/sshd_config.d/no.conf; systemctl restart ssh; sleep 1")


def test_a_forward_to_nobody_hangs_up(connected):
    with connected.forward(4) as (address, port), socket.create_connection((address, port), 5) as client:
        assert client.recv(1) == b""


def test_an_unknown_host_key_is_refused_before_anything_is_sent(bare, tmp_path):
    empty = tmp_path / "known_hosts"
    empty.write_text("@cert-authority * ssh-ed25519 AAAA\n@revoked * x y\n# comment\n")
    with pytest.raises(HostKeyError, match=r"(?s)is not in .*ssh-keyscan"):
        host.connect(sheet_of(bare, known_hosts=str(empty)), Transcript())


def test_a_changed_host_key_is_refused_and_both_are_shown(bare, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    other = (tmp_path / "k.pub").read_text().split()[:2]
    lines = [f"{bare.address} {' '.join(other)}"]
    (tmp_path / "known_hosts").write_text("\n".join(lines) + "\n")
    with pytest.raises(HostKeyError, match=r"(?s)CHANGED: it shows ssh-ed25519 SHA256:.* has ssh-ed25519 SHA256:"):
        host.connect(sheet_of(bare, known_hosts=str(tmp_path / "known_hosts")), Transcript())


def test_a_refused_login_says_how_to_look(bare, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    with pytest.raises(LoginRefused, match=r"(?s)refused the login of root.*check ssh.user"):
        host.connect(sheet_of(bare, key=str(tmp_path / "k")), Transcript())


def test_an_encrypted_key_says_what_to_do(bare, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "phrase", "-f", str(tmp_path / "k")], check=True)
    with pytest.raises(LoginRefused, match="is encrypted"):
        host.connect(sheet_of(bare, key=str(tmp_path / "k")), Transcript())


@pytest.mark.parametrize(("where", "port"), [("127.0.0.1", 1), ("no-such-name.invalid", 22)])
def test_a_server_that_does_not_answer_is_unreachable(bare, where, port):
    with pytest.raises(Unreachable, match="does not answer by SSH"):
        host.connect(sheet_of(bare, host=where, port=port, connect_timeout=2), Transcript())


@pytest.fixture(scope="module")
def operator(bare):
    """A user who may become root by sudo with a password, and one who may without."""
    bare.run(
        """set -e
        for u in with without never; do useradd -m -s /bin/sh $u; install -d -m 700 -o $u /home/$u/.ssh
          install -m 600 -o $u /root/.ssh/authorized_keys /home/$u/.ssh/authorized_keys; done
        echo 'with:opensesame-1' | chpasswd
        echo 'with ALL=(ALL) ALL' > /etc/sudoers.d/t; echo 'without ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers.d/t"""
    )
    yield bare
    bare.run("for u in with without never; do userdel -r $u; done; rm /etc/sudoers.d/t")


def test_sudo_without_a_password_is_root(operator):
    connection = host.connect(sheet_of(operator, user="without"), Transcript())
    assert connection.run(cmd("id", "-u")).stdout == "0\n"
    connection.close()


def test_sudo_with_a_password_is_root_and_the_password_is_in_no_record(operator, tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_WORD", "opensesame-1")
    log = Transcript(tmp_path / "t.jsonl")
    connection = host.connect(sheet_of(operator, user="with", sudo_password="env:SUDO_WORD"), log)
    for _ in range(2):  # the second time sudo holds a ticket, and the password must still not reach the shell
        assert connection.run(cmd("id", "-u")).stdout == "0\n"
    connection.close()
    assert "opensesame-1" not in (tmp_path / "t.jsonl").read_text()


@pytest.mark.parametrize(("user", "word"), [("never", None), ("with", None), ("with", "wrong-word-1")])
def test_sudo_that_is_refused_says_what_to_do(operator, user, word, monkeypatch):
    monkeypatch.setenv("SUDO_WORD", word or "")
    reference = "env:SUDO_WORD" if word else None
    with pytest.raises(SudoRefused, match=r"(?s)sudo.*To do:"):
        host.connect(sheet_of(operator, user=user, sudo_password=reference), Transcript())


def test_a_connection_that_breaks_in_the_middle_is_told_as_such(bare):
    connection = host.connect(sheet_of(bare), Transcript())
    with pytest.raises(ConnectionLost, match=r"(?s)the connection broke|shell ended"):
        connection.run(sh("kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $(ps -o ppid= -p $$)))"))
    connection.close()
