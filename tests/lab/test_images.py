"""Recipes are data: their digest changes with anything that goes into the image, and with nothing else."""

from __future__ import annotations

import shutil

import pytest

from runbook.lab import images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    copy = tmp_path / "recipes"
    shutil.copytree(images._FOLDER, copy)
    monkeypatch.setattr(images, "_FOLDER", copy)
    images.digest.cache_clear()
    yield copy
    images.digest.cache_clear()


def digests():
    images.digest.cache_clear()
    return {name: images.digest(name) for name in images.RECIPES}


def test_a_copy_elsewhere_has_the_same_digests(folder, monkeypatch):
    copied = digests()
    monkeypatch.undo()
    assert digests() == copied


def test_a_changed_file_changes_its_image_and_those_on_top_of_it(folder):
    before = digests()
    (folder / "host" / "files" / "etc" / "new").write_text("x")
    after = digests()
    same = {name for name in before if before[name] == after[name]}
    assert same == {"resolver"}  # all others stand on a host, some by way of another image


def test_a_changed_mode_changes_the_image(folder):
    before = digests()
    (folder / "el" / "rpm" / "lay-out.sh").chmod(0o755)
    assert {name for name, digest in digests().items() if digest != before[name]} == {"el", "el-stock"}


@pytest.mark.parametrize("name", sorted(images.RECIPES))
def test_every_recipe_stands_on_something_known_and_has_a_containerfile(name):
    recipe = images.RECIPES[name]
    assert recipe.on in images.RECIPES | images.DISTRIBUTIONS
    assert (images._FOLDER / recipe.folder / "Containerfile").is_file()


def test_every_system_has_a_recipe():
    assert set(images.SYSTEMS) <= set(images.RECIPES)


def test_the_stand_in_is_called_one():
    assert "stand-in" in images.SYSTEMS["el"]
    assert "stand-in" in (images._FOLDER / "el/files/usr/lib/os-release").read_text()
