"""The configuration of EfficientZero.

Ye et al. 2021 (arXiv:2111.00210); the numbers are those of the authors' repository, for Atari at
100,000 decisions with one update each. `configs/atari_100k.py` lists the differences.
"""

import dataclasses

from mukoe.agents.planning.augmentation import AugmentationConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.consistency import ConsistencyConfig
from mukoe.agents.planning.deterministic_model.config import DeterministicModelConfig
from mukoe.configuration.bounds import UnitInterval
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_prefix import ValuePrefixConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


@dataclasses.dataclass(frozen=True)
class EfficientZeroConfig(DeterministicModelConfig):
    """MuZero with consistency loss, value prefix, augmentation and off-policy correction."""

    network: NetworkConfig = NetworkConfig(
        torso="small",  # down-sampling of 96x96 pixels to 6x6
        width=64,
        representation_blocks=1,
        dynamics_blocks=1,
        head_sizes=(32,),
        scale_hidden_state=False,
    )
    history: HistoryConfig = HistoryConfig(frames=4)
    # γ, discount per step. EfficientZero: 0.997 per frame, of which a step has 4.
    discount: UnitInterval = 0.988
    search: SearchConfig = SearchConfig(
        algorithm="muzero",
        num_simulations=50,
        dirichlet_alpha=0.3,
        dirichlet_fraction=0.25,
        q_normalization=QNormalizationConfig(scope="tree", floor=0.01, unvisited="parent"),
        temperature_schedule=((0, 1.0), (50_000, 0.5), (75_000, 0.25)),
    )
    loss: UnrollLossConfig = UnrollLossConfig(
        unroll_steps=5,
        td_steps=5,
        bootstrap="target",
        max_age=120_000,  # one step less per 30,000 updates
        value_weight=0.25,
    )
    consistency: ConsistencyConfig = ConsistencyConfig(
        weight=2.0, projection_size=1024, predictor_size=512
    )
    value_prefix: ValuePrefixConfig = ValuePrefixConfig(lstm_size=512, period=5)
    augmentation: AugmentationConfig = AugmentationConfig(shift=4, intensity=0.05)
    reanalyse: ReanalyseConfig = ReanalyseConfig(mode="learner", fraction=0.99)
    replay: PlanningReplayConfig = PlanningReplayConfig(
        capacity=100_000,
        min_size=2_000,
        batch_size=256,
        samples_per_insert=256.0,  # one update per decision
        priority_exponent=0.6,
        importance_exponent=0.4,
        initial_priority="maximal",
    )
    optimizer: OptimizerConfig = OptimizerConfig(
        name="sgd",
        learning_rate=0.2,
        warmup_steps=1_000,
        schedule="staircase",
        decay_steps=100_000,
        momentum=0.9,
        weight_decay=1e-4,
        max_gradient_norm=5.0,
    )
    target_update: TargetUpdateConfig = TargetUpdateConfig(period=200)
