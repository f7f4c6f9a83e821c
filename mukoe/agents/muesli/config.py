"""The configuration of Muesli.

Sources: [1] Muesli, arXiv:2104.06159 (equations, sections, figures); [2] its tables as cited,
table by table, in the arguments of CleanRL's implementation (vwxyzjn/cleanrl, pull request
354), so second hand, and without the names of the rows; [3] rlax's `policy_targets`, by authors
of [1]; "silent": none of them gives a value. The settings of [1] for MuJoCo are not published.
"""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from mukoe.agents.planning.augmentation import ImageAugmentationConfig
from mukoe.agents.planning.memory import ReplayedMemoryConfig
from mukoe.configuration.bounds import (
    LARGEST_COUNT,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
    UnrolledCount,
)
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig

if TYPE_CHECKING:
    from mukoe.agents.muesli.builder import MuesliBuilder


@dataclasses.dataclass(frozen=True)
class MuesliReplayConfig(Validated):
    """Size of the replay and uniform sampling ([1] section 4.6)."""

    # Sequences that are kept. [2] table 5, size of the replay: 6M frames, so 50,000 sequences of
    # 30 steps of 4.
    capacity: PositiveInt = 10_000
    # Sequences before learning starts: silent.
    min_size: PositiveInt = 50
    # Sequences in a batch. [2] table 5, batch size: 96.
    batch_size: PositiveInt = 96
    # How often a sequence is sampled on average. With all of them once fresh, 75% replay makes 4.
    samples_per_insert: Annotated[float, Meta(gt=0, le=LARGEST_COUNT)] | None = 4.0
    # Share of a batch that was never sampled before. [1] figure 1: 75% are replayed with the
    # IMPALA network, 95% with the large one ([2] table 6, too).
    online_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.25


@dataclasses.dataclass(frozen=True)
class MuesliLossConfig(Validated):
    """Targets and losses."""

    # Steps of a sequence, each of them the root of an unroll. [2] table 5, steps: 30.
    sequence_length: Annotated[int, Meta(ge=2)] = 30
    # K, model steps after the root. [2] table 5, unroll length: 5.
    unroll_steps: UnrolledCount = 5
    # λ of Retrace. [2] table 6, Retrace λ: 0.95.
    retrace_lambda: UnitInterval = 0.95
    # c, advantages in the regulariser are clipped to ±c. [1] section 4.1, its end: 1.
    advantage_clip: PositiveFloat = 1.0
    # λ, weight of KL(π_CMPO, π) beside the policy gradient. [1] figure 3b: 1.
    regularizer_weight: NonNegativeFloat = 1.0
    # Actions drawn for the regulariser, and for `v` with actions that are continuous or of several
    # parts; 0 takes all of them exactly. [2] table 5, samples of the regulariser and of Retrace:
    # 16 each; table 6, large network: exact.
    num_samples: NonNegativeInt = 16
    # Weight of the behaviour policy in the prior. Second hand, table not known to us: 0.03.
    prior_behavior: UnitInterval = 0.03
    # Weight of the uniform policy in the prior; the rest is the target network's. Second hand,
    # table not known to us: 0.003.
    prior_uniform: UnitInterval = 0.003
    # β of the moving second moment of G - v. [2] table 5, variance decay: 0.99.
    moment_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.99
    # Added to the second moment. [2] table 5, variance offset: 1e-12.
    moment_epsilon: PositiveFloat = 1e-12
    # Weight of policy gradient and regulariser. Second hand, table not known to us: 3; the code
    # of [2] takes 1.
    policy_weight: NonNegativeFloat = 3.0
    # Weight of the model's policies, L_m: silent; the code of [2] takes 1.
    model_policy_weight: NonNegativeFloat = 1.0
    # Weight of the values. [2] table 5, value loss: 0.25.
    value_weight: NonNegativeFloat = 0.25
    # Weight of the rewards. [2] table 5, reward loss: 1.
    reward_weight: NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unroll_steps >= self.sequence_length:
            raise UserError(
                f"loss.unroll_steps ({self.unroll_steps}) must be below loss.sequence_length "
                f"({self.sequence_length})"
            )
        if self.num_samples == 1:
            raise UserError("loss.num_samples must be 0 (all actions) or at least 2, not 1")
        if self.prior_behavior + self.prior_uniform > 1:
            raise UserError(
                "loss.prior_behavior and loss.prior_uniform must sum to 1 at most, not "
                f"{self.prior_behavior + self.prior_uniform}"
            )


@dataclasses.dataclass(frozen=True)
class MuesliConfig(Validated):
    """Muesli."""

    # [1] section 4.5: LSTM dynamics, MuZero's value and reward; [2] gives it no sizes.
    network: NetworkConfig = NetworkConfig(dynamics="lstm")
    # [2] table 10, on Atari: 4 frames.
    history: HistoryConfig = HistoryConfig()
    # Discount per step, γ. [2] table 5, discount: 0.995.
    discount: UnitInterval = 0.995
    loss: MuesliLossConfig = MuesliLossConfig()
    # Not of [1].
    augmentation: ImageAugmentationConfig = ImageAugmentationConfig()
    replay: MuesliReplayConfig = MuesliReplayConfig()
    # Learning rate: second hand, 3e-4; the code of [2] takes 2.5e-4. [2] tables 5 and 6, weight
    # decay: 0.
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=3e-4, weight_decay=0.0)
    # [2] table 5, update rate of the target network: 0.1.
    target_update: TargetUpdateConfig = TargetUpdateConfig(period=1, rate=0.1)
    # How evaluation chooses: the 'mode' of the policy, or a 'sample' of it. The paper's scores
    # are those of training episodes: samples.
    evaluation: Literal["mode", "sample"] = "sample"
    # Memory in front of the representation.
    memory: ReplayedMemoryConfig = ReplayedMemoryConfig()

    @property
    def leading_rows(self) -> int:
        """Number of rows of an item before its sequence: history and burn-in of the memory."""
        return self.history.frames - 1 + self.memory.burn_in_rows

    def make_builder(self) -> "MuesliBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.muesli.builder import MuesliBuilder

        return MuesliBuilder(self)
