"""The core imports without TensorFlow, Reverb, Launchpad and Acme.

The directions of the imports are checked by import-linter (`make lint`), from the text.
This runs them: with those packages blocked, every module of the core is imported.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import mukoe

BLOCKED = ("tensorflow", "reverb", "launchpad", "acme", "courier")
DISTRIBUTED = (
    "mukoe.replay.reverb",
    "mukoe.layouts.distributed.runtimes.launchpad",
    "mukoe.layouts.distributed.vertex",
    *([] if importlib.util.find_spec("ray") else ["mukoe.layouts.distributed.ray"]),
)
"""The modules, or packages, that are not of the core."""

_IMPORT_ALL = """
import importlib, sys
from absl import app, flags

known = set(flags.FLAGS)

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
failures = []
for module in MODULES:
    try:
        importlib.import_module(module)
    except Exception as error:
        failures.append(f"{module}: {error!r}")
    if module.startswith("mukoe.commands."):
        # A process runs one command; several define flags of the same name.
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)
sys.exit("\\n".join(failures) or 0)
"""


def modules_under(package: Path) -> list[str]:
    """Names of all the modules of a package, from its files."""
    names = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def is_distributed(module: str) -> bool:
    return any(module == name or module.startswith(name + ".") for name in DISTRIBUTED)


def import_all(modules: list[str], blocked: tuple[str, ...]) -> subprocess.CompletedProcess:
    source = f"MODULES = {modules!r}\nBLOCKED = {blocked!r}\n{_IMPORT_ALL}"
    return subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=False,
    )


def test_core_imports_without_distributed_packages():
    modules = [m for m in modules_under(Path(mukoe.__file__).parent) if not is_distributed(m)]
    assert {"mukoe", "mukoe.types", "mukoe.errors"} <= set(modules)
    result = import_all(modules, BLOCKED)
    assert result.returncode == 0, result.stderr


def test_blocking_is_noticed():
    result = import_all(["mukoe.types"], (*BLOCKED, "dm_env"))
    assert result.returncode != 0
    assert "dm_env is blocked" in result.stderr


def test_every_folder_of_modules_is_a_package():
    """A folder without `__init__.py` would be left out of the installed package."""
    root = Path(mukoe.__file__).parent
    folders = {path.parent for path in root.rglob("*.py")}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []
