"""The environment that `make train` takes: CPython 3.10 with Launchpad, or else 3.12."""

import shutil
import subprocess
from pathlib import Path

import pytest

import mukoe

ROOT = Path(mukoe.__file__).parents[1]
INSTALL = """#!/bin/sh
mkdir -p $1/bin && printf '#!/bin/sh\\necho "$0" "$@"' >$1/bin/python && chmod +x $1/bin/python
"""


@pytest.mark.parametrize(
    ("finds", "machine", "environment"),
    [
        ("0", "Linux x86_64", ".venv/"),
        ("1", "Linux x86_64", ".venv-core/"),
        ("0", "Darwin arm64", ".venv-core/"),
    ],
)
def test_make_train_takes_python_310_where_launchpad_runs(tmp_path, finds, machine, environment):
    shutil.copy(ROOT / "Makefile", tmp_path)
    scripts = {
        "requirements/install.sh": INSTALL,
        "requirements/find_python.sh": f"#!/bin/sh\nexit {finds}\n",
        "bin/uname": f"#!/bin/sh\necho {machine}\n",
    }
    for name, text in scripts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    command = ["make", "train", "WORKDIR=runs/x", "ARGS=--game=Pong"]
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    output = subprocess.run(
        command, cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=True
    ).stdout
    assert f"environment {environment[:-1]}" in output
    last = output.splitlines()[-1]
    assert f"{environment}bin/python programs/launch_atari.py" in last
    assert last.endswith("--workdir=runs/x --game=Pong")
