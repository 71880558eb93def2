"""The host over a real sshd: exact words, exit codes, secrets, time limits, and every way to be refused."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import paramiko
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
from runbook import lab


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


def test_a_client_who_goes_as_the_way_ends_leaves_the_connection_as_it_is(connected, monkeypatch):
    """sshd ends the whole connection when a channel's end of data comes after its close."""
    send = paramiko.Transport._send_user_message

    def late(transport, message):
        if message.asbytes()[:1] == paramiko.common.cMSG_CHANNEL_EOF:
            time.sleep(0.1)
        send(transport, message)

    monkeypatch.setattr(paramiko.Transport, "_send_user_message", late)
    for _ in range(10):
        with connected.forward(22) as way, socket.create_connection(way, 5) as client:
            assert client.recv(8) == b"SSH-2.0-"
    assert connected.run(cmd("true")).code == 0


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


@pytest.fixture
def other_key(tmp_path):
    """A key that is not the server's: its kind and its base64."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    return " ".join((tmp_path / "other.pub").read_text().split()[:2])


def own_key(server, kind="ssh-ed25519"):
    keys = server.run("cat /etc/ssh/ssh_host_*_key.pub").out.splitlines()
    return next(line for line in keys if line.startswith(f"{kind} "))


def refused(server, tmp_path, *lines):
    """Why a connection with these known_hosts is refused; the connection is gone."""
    (tmp_path / "known_hosts").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(HostKeyError) as caught:
        host.connect(sheet_of(server, known_hosts=str(tmp_path / "known_hosts")), Transcript())
    return str(caught.value)


def accepted(server, tmp_path, *lines):
    """The kind of key that the server was known by."""
    (tmp_path / "known_hosts").write_text("".join(f"{line}\n" for line in lines))
    connection = host.connect(sheet_of(server, known_hosts=str(tmp_path / "known_hosts")), Transcript())
    connection.close()
    return connection.host_key.split()[0]


def test_a_revoked_host_key_is_refused_though_a_plain_line_vouches_for_it(bare, tmp_path):
    key = own_key(bare)
    told = refused(bare, tmp_path, f"{bare.address} {key}", f"@revoked * {key}")
    assert re.search(r"is REVOKED: it shows ssh-ed25519 SHA256:\S+, which line 2 of \S+ revokes", told)
    assert "ssh-keygen -A" in told


def test_either_of_two_keys_of_a_kind_is_accepted(bare, tmp_path, other_key):
    lines = [f"{bare.address} {other_key}", f"{bare.address} {own_key(bare)}"]
    assert accepted(bare, tmp_path, *lines) == accepted(bare, tmp_path, *reversed(lines)) == "ssh-ed25519"


def test_a_server_is_asked_for_the_kind_of_key_that_is_known(bare, tmp_path):
    file = "/etc/ssh/ssh_host_rsa_key"
    assert bare.run(f"ssh-keygen -q -t rsa -N '' -f {file} && systemctl reload ssh && sleep 1").rc == 0
    try:
        for kind in ("ssh-rsa", "ecdsa-sha2-nistp256"):
            assert accepted(bare, tmp_path, f"{bare.address} {own_key(bare, kind)}") == kind
    finally:
        bare.run(f"rm {file} {file}.pub; systemctl reload ssh; sleep 1")


def test_a_changed_key_behind_a_pattern_is_not_taken_out_by_ssh_keygen(bare, tmp_path, other_key):
    told = refused(bare, tmp_path, "# ours", f"10.* {other_key}")
    assert "has CHANGED" in told
    assert "correct line 2 of" in told
    assert "ssh-keygen -R" not in told


def test_a_changed_key_says_how_to_compare_that_kind(bare, tmp_path, other_key):
    told = refused(bare, tmp_path, f"{bare.address} {other_key}")
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in told
    assert f"ssh-keygen -R '{bare.address}' -f {tmp_path}/known_hosts" in told


def test_off_port_22_the_name_has_the_port(bare, tmp_path, other_key):
    bare.run(
        "firewall-cmd -q --add-port=2222/tcp; printf 'Port 22\\nPort 2222\\n' >/etc/ssh/sshd_config.d/port.conf; "
        "systemctl restart ssh; sleep 1"
    )
    try:
        known = tmp_path / "known_hosts"
        want = sheet_of(bare, known_hosts=str(known), port=2222)
        for name in (f"[{bare.address}]:2222", bare.address, "[10.*]:2222"):
            known.write_text(f"{name} {own_key(bare)}\n")
            host.connect(want, Transcript()).close()
        known.write_text(f"[{bare.address}]:2222 {other_key}\n")
        with pytest.raises(HostKeyError, match=rf"ssh-keygen -R '\[{bare.address}\]:2222'"):
            host.connect(want, Transcript())
        known.write_text(f"{bare.address} {other_key}\n")
        with pytest.raises(HostKeyError, match=rf"(?s)is not in .*ssh-keyscan -p 2222 {bare.address}"):
            host.connect(want, Transcript())
    finally:
        bare.run(
            "firewall-cmd -q --remove-port=2222/tcp; rm /etc/ssh/sshd_config.d/port.conf; "
            "systemctl restart ssh; sleep 1"
        )


def test_no_connection_is_left_behind_by_a_key_that_is_refused(bare, tmp_path):
    before = threading.active_count()
    refused(bare, tmp_path, "# nothing")
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


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
def hidden(lab_up):
    """A server that only its jump host reaches; the sheet's other keys are as ever."""
    return lab_up("debian12", variant="jump")


@pytest.fixture
def configured(hidden, tmp_path, monkeypatch):
    """Write ~/.ssh/config, in a home of the test's own; returns the sheet without its jump host."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    jump = sheet_of(hidden).ssh.jump.removeprefix("root@")

    def write(text, **ssh):
        (tmp_path / ".ssh").mkdir(exist_ok=True)
        words = {"key": hidden.key, "jump": jump, "known": hidden.known_hosts, "server": hidden.address}
        (tmp_path / ".ssh" / "config").write_text(text.format(**words))
        base = sheet_of(hidden, jump=None, connect_timeout=5, **ssh)
        return base.model_copy(update={"probe_from": "here"})

    return write


BASTION = "Host bastion\n HostName {jump}\n User root\n IdentityFile {key}\n"
BY_COMMAND = "ssh -F none -i {key} -o UserKnownHostsFile={known} -W [%h]:%p %r@{jump}"


def test_a_server_behind_the_sheets_jump_host(hidden):
    connection = host.connect(sheet_of(hidden), Transcript())
    assert connection.run(cmd("hostname")).stdout == f"{hidden.hostname}\n"
    assert (connection.connections, connection.address) == (2, hidden.address)
    gateway = connection.jump
    connection.close()
    assert not gateway.is_connected


def test_a_jump_host_by_its_ipv6_address(hidden):
    jump = f"root@[{lab.find(f'{hidden.name}-jump').address6}]:22"
    connection = host.connect(sheet_of(hidden, jump=jump), Transcript())
    assert connection.run(cmd("true")).ok
    connection.close()


def test_a_proxy_jump_of_sshs_configuration_is_followed_and_stands_in_the_transcript(hidden, configured, tmp_path):
    want = configured("Host mail\n HostName {server}\n ProxyJump bastion\n" + BASTION, host="mail")
    log = Transcript(tmp_path / "t.jsonl")
    connection = host.connect(want, log)
    assert connection.run(cmd("hostname")).stdout == f"{hidden.hostname}\n"
    with connection.forward(22) as way, socket.create_connection(way, 5) as client:
        assert client.recv(8) == b"SSH-2.0-"
    assert (connection.connections, connection.address) == (2, hidden.address)
    connection.close()
    entry = json.loads(log.path.read_text().splitlines()[0])
    assert entry["jump"] == [str(connection.jump.hop)] == [sheet_of(hidden).ssh.jump + ":22"]


def test_the_host_key_of_a_proxy_jump_is_checked_as_strictly(hidden, configured, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text("".join(f"{hidden.address} {line.split(' ', 1)[1]}\n" for line in _key_lines(hidden)))
    want = configured("Host *\n ProxyJump bastion\n" + BASTION, known_hosts=str(known))
    jump = sheet_of(hidden).ssh.jump.removeprefix("root@")
    with pytest.raises(HostKeyError, match=f"the SSH host key of {jump}:22 is not in {known}"):
        host.connect(want, Transcript())


def _key_lines(server):
    return [line for line in server.known_hosts.read_text().splitlines() if server.address in line]


def test_a_login_that_a_proxy_jump_refuses_names_its_configuration(configured):
    want = configured("Host *\n ProxyJump nobody@bastion\n" + BASTION)
    with pytest.raises(LoginRefused, match=r"(?s)login of nobody.*User and IdentityFile in ssh's configuration"):
        host.connect(want, Transcript())


def test_a_server_that_its_jump_host_cannot_reach_is_unreachable(configured):
    want = configured("ProxyJump bastion\n" + BASTION, port=4)
    with pytest.raises(Unreachable, match=r"(?s):4 does not answer by SSH: connect failed.*ssh.host and ssh.port"):
        host.connect(want, Transcript())


def test_a_proxy_command_of_sshs_configuration_leads_there(hidden, configured, tmp_path):
    log = Transcript(tmp_path / "t.jsonl")
    connection = host.connect(
        configured(f"Host mail\n HostName {{server}}\n ProxyCommand {BY_COMMAND}\n", host="mail"), log
    )
    assert connection.run(cmd("hostname")).stdout == f"{hidden.hostname}\n"
    assert (connection.connections, connection.address) == (1, hidden.address)
    connection.close()
    assert "-W" in json.loads(log.path.read_text().splitlines()[0])["proxy_command"]


def test_a_proxy_command_that_fails_is_told_with_its_last_words(configured):
    want = configured("ProxyCommand sh -c 'echo no way there >&2; exit 3'\n")
    with pytest.raises(Unreachable, match=r"(?s)ProxyCommand sh -c .*: no way there\).*To do:"):
        host.connect(want, Transcript())


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
