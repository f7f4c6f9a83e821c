"""Launchpad programs before they run."""

import pytest

pytest.importorskip("launchpad")

from mukoe.agents.muzero.config import MuZeroConfig  # noqa: E402
from mukoe.environments.gymnasium.config import GymnasiumConfig  # noqa: E402
from mukoe.layouts.common.experiment import (  # noqa: E402
    DistributedConfig,
    RunConfig,
    TrainingConfig,
)
from mukoe.layouts.distributed.graph import make_graph  # noqa: E402
from mukoe.layouts.distributed.runtimes.launchpad.program import make_program  # noqa: E402


def make(tmp_path, run=RunConfig(envs_per_actor=8), **distributed):  # noqa: B008
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(),
        run=run,
        distributed=DistributedConfig(**distributed),
    ).make_experiment()
    return make_program(make_graph(experiment), tmp_path)


@pytest.mark.parametrize("inference, groups", [("local", 0), ("server", 2), ("split", 2)])
def test_servers_exist_unless_actors_run_the_policy(tmp_path, inference, groups):
    program, _ = make(tmp_path, inference=inference, num_inference_servers=2)
    assert len(program.groups.get("inference", ())) == groups


def test_a_replay_that_is_too_large_to_be_saved_says_so(tmp_path, capsys):
    make(tmp_path, RunConfig(replay_checkpoint_gib=1e-3))
    assert "a resumed run will fill it anew" in capsys.readouterr().err
