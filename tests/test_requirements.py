"""Requirements of a plain installation: each is imported, or has a stated reason."""

import configparser
import re
from pathlib import Path

import mukoe

ROOT = Path(mukoe.__file__).parents[1]

# Names of modules that differ from the name of their distribution.
MODULES = {
    "absl-py": "absl",
    "dm-haiku": "haiku",
    "dm-tree": "tree",
    "opencv-python-headless": "cv2",
    "orbax-checkpoint": "orbax",
}
# Imported by tensorboard, whose version is limited by it.
NOT_IMPORTED = {"setuptools"}


def install_requires():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split("\n")
    return {re.split(r"[<>=;\s]", line)[0] for line in lines if line}


def test_every_requirement_is_imported():
    sources = "\n".join(path.read_text() for path in (ROOT / "mukoe").rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", sources, re.MULTILINE))
    modules = {MODULES.get(name, name.replace("-", "_")) for name in install_requires()}
    assert {"jax", "msgspec"} <= modules
    assert modules - imported == NOT_IMPORTED
