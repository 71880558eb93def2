"""The way to a server: the sheet's word, then ssh's own configuration, as ssh itself would go."""

from __future__ import annotations

import getpass

import pytest

from mailhost import sheet, ways
from mailhost.errors import ConnectError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with an empty ~/.ssh, and no configuration of the whole machine."""
    (tmp_path / ".ssh").mkdir()
    for name in ("deploy", "id_bastion"):
        (tmp_path / ".ssh" / name).write_text("x")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ways, "_FILES", ("~/.ssh/config", str(tmp_path / "ssh_config")))
    return tmp_path


def way(home, config, **ssh):
    (home / ".ssh" / "config").write_text(config)
    values = {"name": "mail", "mail_names": ["mail.example.org"], "ssh": ssh}
    return ways.hops(sheet.from_mapping(values, base=home, source="test"))


def test_without_a_configuration_the_sheet_says_all(home):
    (hop,) = ways.hops(sheet.from_mapping({"name": "mail", "mail_names": ["m"]}, base=home, source="test"))
    assert (str(hop), hop.keys, hop.only, hop.command) == ("root@mail:22", (), False, "")


def test_name_and_key_of_a_host_block_hold_and_the_sheet_says_user_and_port(home):
    config = (
        "Host mail\n HostName 192.0.2.1\n User ann\n Port 2222\n IdentityFile ~/.ssh/deploy\n IdentityFile ~/none\n"
    )
    (hop,) = way(home, config)
    assert (str(hop), hop.keys, hop.only) == ("root@192.0.2.1:22", (f"{home}/.ssh/deploy",), False)


def test_the_sheets_key_comes_first(home):
    (hop,) = way(home, "IdentityFile ~/.ssh/id_bastion", key=".ssh/deploy")
    assert (hop.keys, hop.only) == ((f"{home}/.ssh/deploy", f"{home}/.ssh/id_bastion"), True)


def test_a_proxy_jump_is_followed_with_what_is_said_of_the_jump_host(home):
    config = """
        Host mail
          ProxyJump bastion
        Host bastion
          HostName 192.0.2.9
          User ann
          Port 2222
          IdentityFile ~/.ssh/id_bastion
    """
    jump, server = way(home, config, key=".ssh/deploy")
    assert (str(jump), jump.keys, jump.only) == ("ann@192.0.2.9:2222", (f"{home}/.ssh/id_bastion",), False)
    assert str(server) == "root@mail:22"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("outer,bob@inner:2200", ["{me}@outer:22", "bob@inner:2200"]),
        ("ssh://bob@inner:2200", ["bob@inner:2200"]),
        ("[fd00::1]:23", ["{me}@[fd00::1]:23"]),
        ("none", []),
    ],
)
def test_a_proxy_jump_in_each_form(home, value, told):
    *jumps, _ = way(home, f"ProxyJump {value}\n")
    assert [str(hop) for hop in jumps] == [each.format(me=getpass.getuser()) for each in told]


def test_a_jump_host_may_need_a_jump_host(home):
    config = "Host mail\n ProxyJump inner\nHost inner\n ProxyJump outer\nHost *\n User ann\n"
    assert [str(hop) for hop in way(home, config)] == ["ann@outer:22", "ann@inner:22", "root@mail:22"]


def test_a_jump_host_for_every_host_is_none_for_itself(home):
    config = "Host *\n ProxyJump bastion\n User ann\n"
    assert [str(hop) for hop in way(home, config)] == ["ann@bastion:22", "root@mail:22"]
    assert [str(hop) for hop in way(home, config, host="bastion")] == ["root@bastion:22"]


def test_the_sheets_jump_host_takes_the_place_of_the_configurations(home):
    config = (
        "Host mail\n ProxyJump other\nHost bastion\n HostName 192.0.2.9\n Port 2222\n IdentityFile ~/.ssh/id_bastion\n"
    )
    jump, server = way(home, config, jump="bastion", user="ann", key=".ssh/deploy")
    assert (str(jump), str(server)) == ("ann@192.0.2.9:2222", "ann@mail:22")
    assert (jump.keys, jump.only) == ((f"{home}/.ssh/deploy", f"{home}/.ssh/id_bastion"), True)
    assert str(way(home, config, jump="bob@bastion:22")[0]) == "bob@192.0.2.9:22"


def test_a_proxy_command_speaks_of_the_sheets_user_and_port(home):
    (hop,) = way(home, "Host mail\n HostName 192.0.2.1\nHost *\n ProxyCommand nc %h %p %r\n", user="ann", port=2222)
    assert (hop.command, hop.host) == ("nc 192.0.2.1 2222 ann", "192.0.2.1")


@pytest.mark.parametrize(
    ("lines", "commands"),
    [
        ("ProxyJump bastion\nProxyCommand nc %h %p", ["", ""]),
        ("ProxyCommand nc %h %p\nProxyJump bastion", ["nc mail 22"]),
        ("ProxyCommand none\nProxyJump bastion", [""]),
    ],
)
def test_of_proxy_jump_and_proxy_command_the_first_holds(home, lines, commands):
    assert [hop.command for hop in way(home, lines)] == commands


def test_files_that_are_included_count_in_their_places(home):
    (home / ".ssh" / "config.d").mkdir()
    (home / ".ssh" / "config.d" / "work").write_text("Host mail\n HostName 192.0.2.1\n")
    (home / ".ssh" / "config.d" / ".work.swp").write_text("b0VIM\n")
    (home / "ssh_config").write_text("Host mail\n ProxyJump bastion\n HostName 192.0.2.2\n")
    config = "Host other\n HostName 192.0.2.3\n Include config.d/*\n Port 2222\nInclude nowhere/*\n"
    assert [hop.host for hop in way(home, config)] == ["bastion", "192.0.2.1"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("ProxyJump bastion:ssh", "'ssh' is not a port"),
        ("Host mail\n nonsense", "nonsense"),
        ("Include config", "includes itself"),
        ("Match host", "Missing parameter"),
    ],
)
def test_a_configuration_that_cannot_be_understood_is_told(home, config, says):
    with pytest.raises(ConnectError, match=r"(?s)~/.ssh/config .* cannot be used for mail: .*ssh -G mail") as caught:
        way(home, config)
    assert says in str(caught.value)
