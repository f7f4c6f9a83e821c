"""Files of real programs that are damaged, and disks that are full."""

import os
import signal

import pytest

pytest.importorskip("launchpad")

from tests.faults.running import Program  # noqa: E402

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.launchpad, pytest.mark.timeout(900)]


def damage(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


def test_damaged_checkpoints_fall_back_to_those_before(tmp_path):
    workdir = tmp_path / "run"
    replay = workdir / "checkpoints" / "replay"
    with Program(workdir) as program:
        program.wait_until_learning()
        program.wait_until_learning()
        program.wait_for(lambda: list(replay.with_name("replay_before").glob("*/DONE")))
        ports = program.ports
        program.process.send_signal(signal.SIGKILL)
        program.process.wait(timeout=30)
        program.check_nothing_is_left(ports)
        newest = program.checkpoint()
    damage(workdir / "checkpoints" / "latest" / str(newest))
    damage(max(path.parent for path in replay.glob("*/DONE")))
    with Program(workdir, "--resume") as program:
        program.wait_until_learning()
        nodes = workdir / "logs" / "nodes"
        assert f"latest/{newest} is damaged" in (nodes / "learner" / "0").read_text()
        assert "cannot be read" in (nodes / "replay" / "0").read_text()
        assert program.stop() == 0, program.output
