"""Modules of the user beside a config file or in the current directory."""

import os
import sys

import pytest

from mukoe.configuration import import_folders
from mukoe.configuration.registry import Registry
from mukoe.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder with modules and packages."""
    monkeypatch.setattr(import_folders, "_folders", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "/before")
    for name, text in {
        "own_module.py": "part = 1",
        "own_unused_module.py": "",
        "own_package/__init__.py": "",
        "own_package/part.py": "part = 2",
        "own_package/level.txt": "data",
        "own_package/__pycache__/part.cpython-310.pyc": "",
        "own_namespace/part.py": "part = 3",
        "json.py": "part = 4",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_copies_are_those_of_imported_modules(folder, tmp_path_factory):
    import_folders.add_import_folder(folder)
    import_folders.add_import_folder(folder)
    assert os.environ["PYTHONPATH"] == f"{folder}{os.pathsep}/before"
    parts = Registry("torso", {})
    names = ("own_module", "own_package.part", "own_namespace.part")
    assert [parts[f"{name}:part"] for name in names] == [1, 2, 3]
    copies = tmp_path_factory.mktemp("machine") / "modules"
    import_folders.copy_imported_files(copies)
    found = {str(path.relative_to(copies)) for path in copies.rglob("*") if path.is_file()}
    assert found == {
        "own_module.py",
        "own_package/__init__.py",
        "own_package/part.py",
        "own_package/level.txt",
        "own_namespace/part.py",
    }
    assert (copies / "own_module.py").read_text() == "part = 1"


def test_without_modules_nothing_is_copied(folder, tmp_path_factory):
    import_folders.add_import_folder(folder)
    copies = tmp_path_factory.mktemp("machine") / "modules"
    import_folders.copy_imported_files(copies)
    assert not copies.exists()


@pytest.mark.parametrize("name", ["own_module", "own_package.part", "own_namespace.part"])
def test_modules_in_the_current_directory_are_found(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    assert Registry("torso", {})[f"{name}:part"] in (1, 2, 3)
    assert os.environ["PYTHONPATH"] == f"{folder}{os.pathsep}/before"


def test_the_current_directory_hides_no_other_module(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match="module json has no attribute 'part'"):
        Registry("torso", {})["json:part"]
    with pytest.raises(UserError, match="or put it beside the config file, into the current dir"):
        Registry("torso", {})["own_missing_module:part"]
    assert os.environ["PYTHONPATH"] == "/before"
