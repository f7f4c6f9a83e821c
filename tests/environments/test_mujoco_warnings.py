"""Warnings of MuJoCo on the terminal and in the log."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("mujoco")

from mukoe.environments import mujoco_warnings

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_an_environment_prints_nothing_and_writes_no_file(tmp_path):
    """HalfCheetah has an attribute that MuJoCo has deprecated."""
    code = (
        "from mukoe.environments.gymnasium.config import GymnasiumConfig\n"
        "GymnasiumConfig('HalfCheetah-v5').make_factory()(0, 2, False).close()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_warning_is_logged_once(caplog):
    for _ in range(3):
        mujoco_warnings._receive("Nan in QACC at DOF 0.\nThe simulation is unstable.")
        mujoco_warnings._receive("compiler attribute is deprecated")
    assert [record.getMessage() for record in caplog.records] == [
        "MuJoCo: Nan in QACC at DOF 0. The simulation is unstable."
    ]
