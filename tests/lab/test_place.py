"""Two labs never share a name, and a machine without a lab is told so in one line."""

from __future__ import annotations

import pytest

from runbook import lab
from runbook.lab import network, podman, requirements
from runbook.lab.network import Network
from runbook.lab.place import Place, here


def test_labs_in_different_folders_have_different_names(tmp_path):
    one, two = Place(tmp_path / "one"), Place(tmp_path / "two")
    assert one.network != two.network
    assert one.container("demo") != two.container("demo")


def test_the_variable_names_the_lab(tmp_path, monkeypatch):
    monkeypatch.setenv("DOVECOT_RUNBOOK_LAB", str(tmp_path / "mine"))
    assert here().root == tmp_path / "mine"


def test_without_the_variable_it_is_the_checkouts_own(monkeypatch):
    monkeypatch.delenv("DOVECOT_RUNBOOK_LAB")
    assert here().root.name == ".lab"
    assert (here().root.parent / "pyproject.toml").is_file()


def test_addresses_are_counted_on_and_those_in_use_left_out(tmp_path):
    place = Place(tmp_path)
    assert [network.reserve(place, set()), network.reserve(place, {11}), network.reserve(place, set())] == [10, 12, 13]


def test_addresses_start_again_after_the_last(tmp_path):
    place = Place(tmp_path)
    (tmp_path / "next-address").write_text("250\n")
    assert [network.reserve(place, {10}), network.reserve(place, {10})] == [250, 11]


def test_a_full_network_says_what_to_do(tmp_path):
    with pytest.raises(lab.LabError, match="runbook lab down"):
        network.reserve(Place(tmp_path), set(range(256)))


def test_the_hardware_address_follows_the_address():
    assert Network("x", 89).addresses(10) == ("10.89.89.10", "fd00:89:89::10", "02:89:59:00:00:0a")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (("sys.platform", "darwin"), "darwin"),
        (("os.geteuid", lambda: 1000), "root"),
        (("runbook.lab.podman.which", lambda _: None), "podman is missing"),
    ],
)
def test_a_machine_without_a_lab_is_told_in_one_line_what_to_do_instead(monkeypatch, broken, said):
    monkeypatch.setattr(*broken)
    reason = requirements.available()
    assert reason is not None
    assert said in reason
    assert "runbook init SERVER" in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a.b", "a b", "a;b", "resolver", "x" * 40, "ä", "$(id)", "../up"]
)
def test_names_that_are_none(name):
    with pytest.raises(lab.LabError, match="cannot name a lab server"):
        lab.up(name)


def test_an_unknown_system_names_those_there_are():
    with pytest.raises(lab.LabError, match=", ".join(lab.SYSTEMS)):
        lab.up("one", "solaris")


def test_a_failed_podman_call_shows_the_command_its_exit_code_and_its_last_lines(monkeypatch):
    monkeypatch.setattr(podman, "which", lambda name: "/bin/false" if name == "podman" else None)
    with pytest.raises(lab.LabError, match="podman version\nended with 1"):
        podman.call("version")


def test_limits_are_within_what_this_machine_grants():
    flags = podman.limits()
    assert flags[::2] == ("--ulimit", "--ulimit")
    assert all(1 <= int(flag.split("=")[1].split(":")[0]) <= 16384 for flag in flags[1::2])
