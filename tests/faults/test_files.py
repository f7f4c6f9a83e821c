"""Files of real programs that are damaged, and disks that are full."""

import os
import signal

import pytest

from tests.faults.running import Program

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.launchpad, pytest.mark.timeout(900)]


def damage(folder):
    files = [path for path in (folder, *folder.rglob("*")) if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


def test_damaged_checkpoints_fall_back_to_those_before(tmp_path, runtime):
    workdir = tmp_path / "run"
    with Program(workdir, runtime) as program:
        program.wait_until_learning()
        program.wait_until_learning()
        program.wait_for(lambda: len(program.replay_checkpoints) == 2)
        ports = program.ports
        program.process.send_signal(signal.SIGKILL)
        program.process.wait(timeout=30)
        program.check_nothing_is_left(ports)
        newest = program.checkpoint()
    damage(workdir / "checkpoints" / "latest" / str(newest))
    damage(program.replay_checkpoints[-1])
    with Program(workdir, runtime, "--resume") as program:
        program.wait_until_learning()
        nodes = workdir / "logs" / "nodes"
        assert f"latest/{newest} is damaged" in (nodes / "learner" / "0").read_text()
        assert "cannot be read" in (nodes / "replay" / "0").read_text()
        assert program.stop() == 0, program.output
