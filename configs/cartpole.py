"""MuZero on CartPole-v1, for two CPU cores."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.learner import TargetUpdateConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """A small MLP, and many updates for each step.

    The value decides: the pole balances early, and only the value says in time that the cart
    drifts to the edge. So it gets many updates, long returns, a bootstrap that follows
    closely, its full weight, and bins of one step.
    """
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(64,),
                width=64,
                head_sizes=(32,),
                # No squashing: the values of two actions differ by tenths, of values near 100.
                value_support=SupportConfig(0.0, 100.0, 101, hyperbolic=False),
                reward_support=SupportConfig(0.0, 1.0, 2, hyperbolic=False),
            ),
            discount=0.99,
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=25,
                # Nearly greedy soon: random actions let the pole fall, and hide the drift.
                temperature_schedule=((0, 1.0), (400, 0.25)),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,
                # The edge is some hundred steps away: 10 carry the news of it faster than 5.
                td_steps=10,
                # The values that the search stored are too old with so many updates.
                bootstrap="target",
                value_weight=1.0,
            ),
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=500,
                batch_size=128,
                # 0.75 updates a step.
                samples_per_insert=96.0,
                # Priorities of exponent 1 leave hardly any weight to the loss.
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=2e-3),
            target_update=TargetUpdateConfig(period=50),
        ),
        run=RunConfig(
            max_actor_steps=30_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=1_000,
            target_return=490.0,
        ),
    )
