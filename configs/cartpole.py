"""MuZero on CartPole-v1, for two CPU cores."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with a small MLP and many updates per step.

    The value function is critical: the policy balances the pole early, and only the value predicts
    that the cart drifts to the edge. It gets many updates, long returns, a recent bootstrap, full
    weight and bins of one step.
    """
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(64,),
                width=64,
                head_sizes=(32,),
                # Not transformed: the values of two actions differ by tenths, near 100.
                value_support=SupportConfig(0.0, 100.0, 101, hyperbolic=False),
                reward_support=SupportConfig(0.0, 1.0, 2, hyperbolic=False),
            ),
            discount=0.99,
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=25,
                # Nearly greedy early: random actions drop the pole before the cart drifts.
                temperature_schedule=((0, 1.0), (400, 0.25)),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,
                # The edge is about 100 steps away: 10-step returns reach it sooner than 5.
                td_steps=10,
                # Stored search values are outdated at this number of updates per step.
                bootstrap="target",
                value_weight=1.0,
            ),
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=500,
                batch_size=128,
                # 0.75 updates per step.
                samples_per_insert=96.0,
                # Priorities of exponent 1 leave the loss hardly any weight.
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
