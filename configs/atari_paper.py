"""MuZero on Atari with the paper's settings, 200M frames variant (MuZero Reanalyse).

Sources: [1] MuZero, arXiv:1911.08265, appendices E, F, G, H; [2] its published pseudo-code;
[3] MuZero Unplugged, arXiv:2104.06294. `silent` marks values that the papers do not give.
80 % of each batch gets new search policies inside the update; all bootstraps are values of the
target network. 2 samples per state.
Needs accelerators and many actors.
"""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns the config of a run of 200M emulator frames, which are 50M agent steps."""
    return TrainingConfig(
        environment=AtariConfig(
            game="MsPacman",
            frame_skip=4,  # [1] E
            grayscale=False,  # [1] E: RGB
            height=96,  # [1] E
            width=96,  # [1] E
            sticky_actions=0.0,  # silent
            full_action_set=True,  # [1] E: action planes are a / 18
            reward_clip=False,  # [1] F: values are scaled by h instead
            noop_max=30,  # [1]: evaluation starts with up to 30 no-ops
            max_frames=108_000,  # [1]: 30 minutes
        ),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="large",  # [1] F
                width=256,  # [1] F
                representation_blocks=0,  # [1] F: down-sampling alone is named for Atari
                dynamics_blocks=16,  # [1] F
            ),
            history=HistoryConfig(frames=32, action_planes=True),  # [1] E
            discount=0.997,  # [1] G
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=50,  # [1] G
                dirichlet_alpha=0.25,  # [2]
                dirichlet_fraction=0.25,  # [2]
                pb_c_init=1.25,  # [1] B
                pb_c_base=19652.0,  # [1] B
                # [2], at 0, 50% and 75% of 1M updates.
                temperature_schedule=((0, 1.0), (500_000, 0.5), (750_000, 0.25)),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,  # [1] G
                td_steps=5,  # [1] H
                bootstrap="target",  # [1] H
                policy_weight=1.0,  # [1] G
                value_weight=0.25,  # [1] H
                reward_weight=1.0,  # [1] G
            ),
            replay=PlanningReplayConfig(
                capacity=10_000_000,  # silent; [2] keeps 125k sequences of 200 steps
                min_size=50_000,  # silent
                batch_size=1024,  # [1] G
                samples_per_insert=2.0,  # [1] H
                sampler="prioritized",  # [1] G
                priority_exponent=1.0,  # [1] G
                importance_exponent=1.0,  # [1] G
            ),
            optimizer=OptimizerConfig(
                name="sgd",  # [2]
                learning_rate=0.05,  # [2]
                schedule="staircase",  # [2]
                decay_rate=0.1,  # [2]
                decay_steps=350_000,  # [2]
                momentum=0.9,  # [2]
                weight_decay=1e-4,  # [2]
                max_gradient_norm=0.0,  # silent
            ),
            target_update=TargetUpdateConfig(
                period=100
            ),  # silent; read by reanalysis and bootstraps
            reanalyse=ReanalyseConfig(mode="learner", fraction=0.8),  # [1] H
        ),
        run=RunConfig(
            max_actor_steps=50_000_000,  # [1] H: 200M frames
            envs_per_actor=8,  # silent
            evaluation_episodes=8,
            evaluation_period=1_000_000,
        ),
        distributed=DistributedConfig(num_actors=64, inference="server"),
    )
