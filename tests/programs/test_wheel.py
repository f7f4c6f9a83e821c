"""Wheel of the core, built and used in an empty folder."""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SOURCES = ("mukoe", "configs", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Wheel that the installed backend builds from a copy of the sources."""
    pytest.importorskip("wheel")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    command = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir"]
    subprocess.run([sys.executable, "-m", "pip", *command, target, source], check=True, timeout=120)
    (path,) = target.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_contains_every_module_and_config(wheel):
    names = set(wheel.namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "mukoe").rglob("*.py")}
    configs = {f"mukoe/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "configs").rglob("*.py")}
    pages = {p.relative_to(ROOT).as_posix() for p in (ROOT / "mukoe").rglob("*.html")}
    entries = (ROOT / "mukoe" / "zoo" / "entries").glob("*/*")
    zoo = {p.relative_to(ROOT).as_posix() for p in entries}
    data = {"mukoe/py.typed", *pages, *zoo}
    assert len(configs) > 20 and len(pages) >= 2 and modules | configs | data <= names
    others = {name for name in names if ".dist-info/" not in name}
    assert others == modules | configs | data


def test_the_wheel_installs_the_command(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    entries = configparser.ConfigParser()
    entries.read_string(wheel.read(name).decode())
    assert dict(entries["console_scripts"]) == {"mukoe": "mukoe.commands.main:main"}


def test_the_command_of_the_wheel_loads_a_shipped_config(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    code = "import sys; from mukoe.commands.main import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, "train", "--config=tictactoe", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "--config.environment.game=tic_tac_toe" in result.stdout
