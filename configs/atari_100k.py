"""EfficientZero's parts and settings on Atari at 100,000 decisions, for an accelerator.

Ye et al. 2021 (arXiv:2111.00210); the numbers are those of the authors' repository. Other than
there, normalisation is over layers instead of batches, new data have computed priorities instead
of the highest, and the exponent of the importance weights is constant.
"""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.augmentation import AugmentationConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.consistency import ConsistencyConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.learner import TargetUpdateConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_prefix import ValuePrefixConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns the config of a run of 400,000 emulator frames with one update per decision."""
    return TrainingConfig(
        environment=AtariConfig(
            game="Breakout",
            frame_skip=4,
            grayscale=False,
            height=96,
            width=96,
            sticky_actions=0.0,
            noop_max=30,
            reward_clip=True,
        ),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="small",  # down-sampling to 6x6
                width=64,
                representation_blocks=1,
                dynamics_blocks=1,
                head_sizes=(32,),
                scale_hidden_state=False,
            ),
            history=HistoryConfig(frames=4),
            discount=0.988,  # 0.997 per frame
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=50,
                dirichlet_alpha=0.3,
                dirichlet_fraction=0.25,
                q_normalization=QNormalizationConfig(scope="tree", floor=0.01, unvisited="parent"),
                temperature_schedule=((0, 1.0), (50_000, 0.5), (75_000, 0.25)),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,
                td_steps=5,
                bootstrap="target",
                max_age=150_000,  # one step less per 30,000 decisions
                value_weight=0.25,
            ),
            consistency=ConsistencyConfig(weight=2.0, projection_size=1024, predictor_size=512),
            value_prefix=ValuePrefixConfig(lstm_size=512, period=5),
            augmentation=AugmentationConfig(shift=4, intensity=0.05),
            reanalyse=ReanalyseConfig(mode="learner", fraction=0.99),
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=2_000,
                batch_size=256,
                samples_per_insert=256.0,  # one update per decision
                priority_exponent=0.6,
                importance_exponent=0.4,  # there, it rises to 1
                initial_priority="maximal",
            ),
            optimizer=OptimizerConfig(
                name="sgd",
                learning_rate=0.2,
                warmup_steps=1_000,
                schedule="staircase",
                decay_steps=100_000,
                momentum=0.9,
                weight_decay=1e-4,
                max_gradient_norm=5.0,
            ),
            target_update=TargetUpdateConfig(period=200),
        ),
        run=RunConfig(
            max_actor_steps=100_000,
            envs_per_actor=4,
            evaluation_episodes=8,
            evaluation_period=20_000,
        ),
    )
