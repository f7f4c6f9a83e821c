"""Ctrl-C in programs, while they import, and while they compile."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.programs.forked import PROGRAMS

ROOT = PROGRAMS.parent


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, f"programs/{program}", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.stderr.read()
        time.sleep(0.02)


def interrupt(process):
    """Sends Ctrl-C and returns the output of the process, which ends within two seconds."""
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    try:
        output = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, output
    assert time.monotonic() - began < 2.0
    return output


@pytest.mark.parametrize("program", ["launch.py", "evaluate.py", "watch.py", "report.py"])
def test_ctrl_c_within_imports_gives_one_line(tmp_path, program):
    process = start(program, f"--workdir={tmp_path / 'run'}")
    maps = Path(f"/proc/{process.pid}/maps")
    wait_for(lambda: "numpy" in maps.read_text(), process)
    assert interrupt(process) == ("", "interrupted\n")
    assert not (tmp_path / "run").exists()


def test_ctrl_c_within_compilation_says_what_it_waits_for_or_ends(tmp_path):
    process = start("launch.py", "--config=configs/cartpole.py", f"--workdir={tmp_path}")
    wait_for((tmp_path / "config.json").exists, process)
    process.send_signal(signal.SIGINT)
    # Other lines are those of the progress.
    said = next(line for line in process.stderr if line.startswith("Ctrl-C"))
    assert said.startswith("Ctrl-C: ends after the current step (")
    _, error = interrupt(process)
    assert error == "interrupted again: exits without a last checkpoint\n"
