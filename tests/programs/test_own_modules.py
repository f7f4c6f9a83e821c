"""Config file beside a module of the user, which nodes and later programs import."""

import pytest

from mukoe.layouts.common.checkpointing import stored_counts
from tests.programs.forked import run_program

CONFIG = """
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import UnrollLossConfig, PlanningReplayConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig


def get_config():
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,)),
            search=SearchConfig("own_search_of_a_user:search", num_simulations=2),
            loss=UnrollLossConfig(unroll_steps=2, td_steps=2),
            replay=PlanningReplayConfig(min_size=20, batch_size=8),
        ),
        run=RunConfig(max_actor_steps=200, evaluation_episodes=1, log_seconds=1.0),
    )
"""

SEARCH = """
import jax.numpy as jnp

from mukoe.search.puct import puct_search


def search(*inputs, **options):
    output, tree = puct_search(*inputs, **options)
    count = output.search_policy.shape[-1]
    return output._replace(search_policy=jnp.full_like(output.search_policy, 1 / count)), tree
"""

LOCAL = ("--layout=local",)
LOCAL_MP = (
    "--layout=distributed",
    "--lp_launch_type=local_mp",
    "--inference=local",
    "--num_actors=1",
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(LOCAL, id="local"),
        pytest.param(LOCAL_MP, id="local_mp", marks=pytest.mark.launchpad),
    ],
)
def test_a_search_algorithm_of_the_users_module(layout, tmp_path):
    folder, workdir = tmp_path / "mine", tmp_path / "run"
    folder.mkdir()
    (folder / "own_search_of_a_user.py").write_text(SEARCH)
    (folder / "cartpole.py").write_text(CONFIG)
    result = run_program(
        "launch.py", f"--config={folder / 'cartpole.py'}", f"--workdir={workdir}", *layout
    )
    assert result.returncode == 0, result.stderr
    assert stored_counts(workdir)["actor_steps"] >= 200
    if layout == LOCAL:
        result = run_program("evaluate.py", f"--workdir={workdir}", "--episodes=1")
        assert result.returncode == 0, result.stderr
