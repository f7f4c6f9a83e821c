"""A real program on two real Ray nodes: does it run, and how does it end?"""

import contextlib

import psutil
import pytest

pytest.importorskip("ray")

from mukoe.learning.checkpoint import Checkpointer  # noqa: E402
from tests.faults.conftest import RUNTIMES  # noqa: E402
from tests.faults.ray_running import RayProgram, ray_cluster  # noqa: E402
from tests.real_programs import rows  # noqa: E402

pytestmark = [pytest.mark.launchpad, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster() as cluster:
        yield cluster


def workers():
    """Ray's processes that host nodes."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("ray::Host"):
                found.append(process)
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_program_on_two_machines_trains_ends_and_leaves_nothing(cluster, tmp_path, runtime):
    flags = (f"--runtime={runtime}", "--max_actor_steps=300")
    with RayProgram(tmp_path / "run", cluster, *flags) as program:
        program.wait_for(lambda: {"actor_0", "actor_1", "replay"} <= program.nodes.keys())
        raylets = {label: program.raylet_of(label).pid for label in program.nodes}
        ports = program.ports
        assert program.process.wait(timeout=400) == 0, program.output
        program.check_nothing_is_left(ports)
        assert psutil.wait_procs(workers(), timeout=10)[1] == []
        assert raylets["actor_0"] != raylets["actor_1"]
    steps = Checkpointer(program.workdir / "checkpoints").latest_step()
    counts = Checkpointer(program.workdir / "checkpoints").read_metadata()["counts"]
    assert steps > 1 and counts["actor_steps"] >= 300
    assert float(rows(program.workdir, "learner")[-1]["loss"]) > 0
    assert {p.name for p in (program.workdir / "logs" / "nodes").iterdir()} == {
        "actor",
        "counter",
        "evaluator",
        "learner",
        "replay",
    }
    assert not list(program.workdir.glob(".shared*"))


def test_what_no_machine_has_is_refused_before_anything_starts(cluster, tmp_path):
    flags = ("--config.distributed.num_actors=2", "--cluster.learner.gpus=1")
    with RayProgram(tmp_path / "run", cluster, *flags) as program:
        assert program.process.wait(timeout=200) == 2
        assert "error: no machine of the Ray cluster has 0.1 CPU, 1 GPU" in program.output
        assert not program.workdir.exists()
