"""pyproject.toml, requirements.lock and environment.yml name the same packages, and none names an index."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()


def wanted() -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def locked() -> dict[str, Version]:
    return {
        canonicalize_name(name): Version(version) for name, version in re.findall(r"(?m)^([\w.-]+)==([^ \\;]+)", LOCK)
    }


@pytest.mark.parametrize("name", sorted(wanted()))
def test_the_lock_holds_what_pyproject_wants(name):
    assert locked()[name] in wanted()[name].specifier


def test_every_locked_package_has_hashes():
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", LOCK)[1:]
    assert blocks
    assert [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_conda_users_get_the_same_packages_in_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    lines = [line for line in environment["dependencies"] if isinstance(line, str)]
    conda = {
        canonicalize_name(Requirement(line).name): Requirement(line).specifier
        for line in lines
        if "python=" not in line
    }
    assert conda.pop("pip") == ""
    assert conda == {name: requirement.specifier for name, requirement in wanted().items()}


def test_conda_users_get_a_python_that_pyproject_accepts():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (line,) = (line for line in environment["dependencies"] if isinstance(line, str) and line.startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(line.removeprefix("python="))


@pytest.mark.parametrize("name", ["requirements.lock", "environment.yml", "pyproject.toml", "Makefile"])
def test_no_address_of_an_index_is_written_down(name):
    text = (ROOT / name).read_text()
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|file://\S*", text) == []


def test_the_installed_packages_are_the_locked_ones():
    from importlib.metadata import version

    assert {name: version(name) for name in wanted()} == {name: str(locked()[name]) for name in wanted()}


def test_git_sees_the_source_under_lib():
    ignored = subprocess.run(["git", "check-ignore", "lib/mailhost/host.py", "lib/new/file.py"], cwd=ROOT, check=False)
    assert ignored.returncode == 1
