"""Real Launchpad programs that learn from demonstrations, or from reanalysed sequences."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dm_env import specs

pytest.importorskip("launchpad")

from tests.real_programs import processes_of, rows  # noqa: E402
from tests.replay.datasets.test_round_trip import environment_spec, episode, write  # noqa: E402

pytestmark = [pytest.mark.launchpad, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "faults" / "tiny_cartpole.py"
STEPS = 300


def run(workdir, *flags):
    """Runs a program to its step limit; returns the last row of the learner's log."""
    command = [sys.executable, "programs/launch.py", "--layout=distributed"]
    arguments = [f"--workdir={workdir}", f"--config={CONFIG}", f"--max_actor_steps={STEPS}"]
    result = subprocess.run(
        [*command, *arguments, *flags],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=800,
    )
    assert result.returncode == 0, result.stdout
    assert not processes_of(workdir)
    return rows(workdir, "learner")[-1]


@pytest.mark.parametrize("launch_type", ["local_mp", "local_mt"])
def test_demonstrations_are_cloned_beside_live_actors(tmp_path, monkeypatch, launch_type):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    spec = environment_spec(actions=specs.DiscreteArray(2))
    write(spec, [episode(spec, 20, seed, extras=False) for seed in range(5)], "cartpole/demo-v0")
    last = run(
        tmp_path / "run",
        f"--lp_launch_type={launch_type}",
        "--demonstrations=minari:cartpole/demo-v0",
        "--config.agent.replay.demonstration_fraction=0.25",
        "--config.agent.cloning.mode=alone",
        "--config.agent.loss.bootstrap=target",
    )
    assert float(last["cloning_loss"]) > 0 and int(last["actor_steps"]) > 0


def test_inference_servers_reanalyse(tmp_path):
    workdir = tmp_path / "run"
    last = run(
        workdir,
        "--lp_launch_type=local_mp",
        "--inference=server",
        "--num_reanalysers=1",
        "--config.agent.reanalyse.mode=nodes",
        "--config.distributed.reanalysis=server",
    )
    assert float(last["loss"]) > 0
    searched = rows(workdir, "reanalyser_0")[-1]
    assert int(searched["sequences"]) > 0 and float(searched["reanalysed_per_step"]) > 0
