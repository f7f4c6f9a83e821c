"""A run of one process that takes seconds."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts import local
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig

RUN = {
    "max_actor_steps": 200,
    "envs_per_actor": 4,
    "evaluation_episodes": 2,
    "evaluation_period": 100,
    "log_period": 50,
}


def tiny(environment=None, sampler="prioritized", **run):
    """A config; `run` are fields of its `RunConfig`."""
    return TrainingConfig(
        environment=environment or GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,)),
            search=SearchConfig(num_simulations=2),
            loss=UnrollLossConfig(unroll_steps=2, td_steps=2),
            replay=PlanningReplayConfig(
                min_size=20, batch_size=8, samples_per_insert=2.0, sampler=sampler
            ),
        ),
        run=RunConfig(**{**RUN, **run}),
    )


def train(config, workdir, resume=False):
    """Returns the exit status."""
    workdir.mkdir(exist_ok=True)
    experiment = config.make_experiment()
    return local.train(experiment, local.check(experiment), workdir, resume)
