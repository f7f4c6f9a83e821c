"""Configuration of a run for any environment, chosen from its spaces.

One player: PPO, whose cost per step is the lowest of the agents. Its noise persists over several
steps in some environments of an actor, so that it reaches rewards that are many equal actions
away, as in MountainCar. Two players who take turns: MuZero by self-play.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
from dm_env import specs

from mukoe.acting.random_policy import random_actions
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.vector import VectorEnvironment
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.inputs import has_convolutions
from mukoe.networks.torsos import IMAGE, TORSOS
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.types import (
    ChoiceImage,
    EnvironmentSpec,
    Nest,
    ProductArray,
    SequenceArray,
    TokenArray,
    is_continuous,
    plays_in_turns,
    split_legal_actions,
)

# Of the random actions, whatever the seed of the run: runs of several seeds have one config.
_SEED = 0
_NUM_ENVS = 8
_THREADS = 2
_BATCH_STEPS = 4_096
_NUM_CANDIDATES = 16
_RANDOM_STEPS = 1_000 // _NUM_ENVS
# Values are then of the order of 10 where every step has the same reward.
_REWARD_MAGNITUDE = 0.3


class RewardStatistics(NamedTuple):
    """Rewards of random actions.

    mean: mean magnitude.
    largest: largest magnitude.
    """

    mean: float
    largest: float

    @property
    def scale(self) -> float:
        """Factor, of one digit, that makes the mean at most 0.3 and the largest at most 1."""
        if self.largest == 0:
            return 1.0
        return float(f"{min(_REWARD_MAGNITUDE / self.mean, 1 / self.largest):.0e}")


def default_config(environment: Any) -> TrainingConfig:
    """Returns the configuration for an environment, the same one at each call.

    Args:
      environment: configuration of the environment.

    Raises:
      UserError: the environment cannot be made.
    """
    if isinstance(environment, GymnasiumConfig):
        from mukoe.environments.gymnasium.general import with_general_settings

        environment = with_general_settings(environment)
    vector = environment.make_factory()(_SEED, _NUM_ENVS, False)
    try:
        if plays_in_turns(vector.spec):
            return _self_play(environment, vector.spec)
        return _single_player(environment, vector.spec, random_rewards(vector, _SEED))
    finally:
        vector.close()


def random_rewards(environment: VectorEnvironment, seed: int) -> RewardStatistics:
    """Measures the rewards of 1,000 random actions, legal ones where actions are masked.

    The largest reward is the bound of the rewards' spec, if that has one: rewards of random
    actions are near 0 in many tasks whose best rewards are known.

    Args:
      environment: vector of environments.
      seed: seed of the actions.
    """
    random = np.random.default_rng(seed)
    timestep = environment.reset()
    rewards = []
    for _ in range(_RANDOM_STEPS):
        timestep = environment.step(random_actions(environment.spec, timestep.observation, random))
        rewards.append(np.abs(timestep.reward))
    largest = float(np.max(rewards))
    if isinstance(spec := environment.spec.rewards, specs.BoundedArray):
        largest = max(largest, *np.abs([spec.minimum, spec.maximum]).ravel().tolist())
    return RewardStatistics(float(np.mean(rewards)), largest)


def describe(config: TrainingConfig, layout: str) -> str:
    """Returns one line with the choices of a default configuration, and the layout of its run."""
    agent, run = config.agent, config.run
    network = agent.network
    parts = [
        f"torso {network.torso!r} {network.hidden_sizes}",
        f"discount {agent.discount:g}",
        f"{run.max_actor_steps:,} steps",
    ]
    if isinstance(agent, PPOConfig):
        name = "PPO"
        steps = agent.rollout_steps * run.envs_per_actor * config.sebulba.threads_per_device
        parts.append(f"batches of {steps:,} steps")
        parts.append(f"rewards times {agent.loss.reward_scale:g}")
    else:
        name = "MuZero"
        parts.append(f"batches of {agent.replay.batch_size} sequences")
        support = network.value_support
        parts.append(f"values in [{support.minimum:g}, {support.maximum:g}]")
    return f"default config: {name}, layout {layout}, {', '.join(parts)}"


def _single_player(
    environment: Any, spec: EnvironmentSpec, rewards: RewardStatistics
) -> TrainingConfig:
    """Returns PPO with 16 environments and batches of 4,096 steps."""
    features, _ = split_legal_actions(spec.observations)
    torso = _ppo_torso(features)
    images = TORSOS[torso].input_rank == IMAGE and _has_pixels(features)
    max_actor_steps = 10_000_000 if images else 1_000_000
    return TrainingConfig(
        environment=environment,
        agent=PPOConfig(
            network=PPONetworkConfig(
                torso=torso,
                hidden_sizes=(16, 32, 32) if torso == "impala" else (64, 64),
            ),
            # The motion of objects is not visible in one image.
            history=HistoryConfig(frames=4 if images and _can_be_stacked(features) else 1),
            discount=0.995,
            loss=PPOLossConfig(
                gae_lambda=0.95,
                clip_values=False,
                entropy_weight=0.0 if _has_numbers(spec) else 0.01,
                reward_scale=rewards.scale,
            ),
            rollout_steps=_BATCH_STEPS // (_THREADS * _NUM_ENVS),
            noise_persistence=0.95,
            # Half of the run.
            persistent_updates=max_actor_steps // (2 * _BATCH_STEPS),
            epochs=4,
            # Of 64 steps for vectors; with 256, LunarLander still hovers after 1,000,000 steps.
            minibatches=16 if has_convolutions(torso, {}, features) else 64,
            optimizer=OptimizerConfig(
                learning_rate=2.5e-4 if images else 5e-4,
                epsilon=1e-5,
                weight_decay=0.0,
                max_gradient_norm=0.5,
            ),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=max_actor_steps,
            envs_per_actor=_NUM_ENVS,
            evaluation_episodes=20,
            evaluation_period=500_000 if images else 50_000,
            log_period=_BATCH_STEPS,
        ),
        sebulba=SebulbaConfig(threads_per_device=_THREADS),
    )


def _has_numbers(spec: EnvironmentSpec) -> bool:
    """Returns whether actions are real numbers, or have parts that are."""
    if isinstance(spec.actions, ProductArray):
        return 0 in spec.actions.choices
    return is_continuous(spec)


def _ppo_torso(features: Nest) -> str:
    """Returns `impala` for pixels, `tanh_mlp` for vectors, small boards and several parts."""
    if _has_pixels(features):
        return "impala"
    if isinstance(features, ChoiceImage):
        return "grid"
    return "sequence" if isinstance(features, SequenceArray | TokenArray) else "tanh_mlp"


def _has_pixels(features: Nest) -> bool:
    """Returns whether a part of an observation is an image that is large enough for `impala`."""
    return any(
        len(spec.shape) == IMAGE
        and not isinstance(spec, ChoiceImage)
        and min(spec.shape[:2]) >= TORSOS["impala"].least_size
        for spec in jax.tree.leaves(features)
    )


def _can_be_stacked(features: Nest) -> bool:
    leaves = jax.tree.leaves(features)
    return not any(isinstance(spec, SequenceArray | TokenArray) for spec in leaves)


def _self_play(environment: Any, spec: EnvironmentSpec) -> TrainingConfig:
    """Returns MuZero with a network for boards, outcomes as targets and random openings."""
    features, _ = split_legal_actions(spec.observations)
    # Up to the triple win of Backgammon.
    outcome = SupportConfig(-3.0, 3.0, 7, hyperbolic=False)
    if isinstance(environment, PgxConfig):
        environment = dataclasses.replace(environment, random_opening_moves=4)
    return TrainingConfig(
        environment=environment,
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="board" if len(jax.tree.leaves(features)[0].shape) == IMAGE else "mlp",
                width=32,
                representation_blocks=1,
                head_channels=4,
                head_sizes=(64,),
                value_support=outcome,
                reward_support=outcome,
            ),
            discount=1.0,
            search=SearchConfig(
                algorithm="gumbel",
                num_simulations=16,
                num_candidates=_NUM_CANDIDATES if is_continuous(spec) else 0,
            ),
            loss=UnrollLossConfig(unroll_steps=5, td_steps=42, value_weight=1.0),
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=4_000,
                batch_size=128,
                samples_per_insert=3.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=1e-4),
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=64,
            evaluation_episodes=50,
            evaluation_period=50_000,
            log_period=10_000,
        ),
    )
