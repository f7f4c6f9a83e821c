"""The configuration of Muesli.

Sources: [1] Muesli, arXiv:2104.06159 (equations and sections); [2] its tables 5 and 6 as
cited by CleanRL's implementation; [3] MuZero, arXiv:1911.08265.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from mukoe.errors import UserError
from mukoe.learning.learner import TargetUpdateConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import NetworkConfig

if TYPE_CHECKING:
    from mukoe.agents.muesli.builder import MuesliBuilder


@dataclasses.dataclass(frozen=True)
class MuesliReplayConfig:
    """What is kept and how it is sampled; uniformly ([1] section 4.6)."""

    # Sequences that are kept. [2] table 5: 6M frames, so 50,000 sequences of 30 steps of 4.
    capacity: int = 10_000
    # Sequences before learning starts. Silent.
    min_size: int = 50
    # Sequences in a batch. [2] table 5: 96.
    batch_size: int = 96
    # How often a sequence is sampled on average. [1]: all of them once fresh; with 75% replay
    # that makes 4.
    samples_per_insert: float | None = 4.0
    # Share of a batch that was never sampled before. [1] section 5: 25% with the small network,
    # 5% with the large one.
    fresh_fraction: float = 0.25


@dataclasses.dataclass(frozen=True)
class MuesliLossConfig:
    """Targets and losses."""

    # Steps of a sequence, each of them the root of an unroll. [2] table 5: 30.
    sequence_length: int = 30
    # K, model steps after the root. [2] table 5: 5.
    unroll_steps: int = 5
    # Discount per step, γ. [2] table 5: 0.995.
    discount: float = 0.995
    # λ of Retrace. [2] table 6: 0.95.
    trace_decay: float = 0.95
    # c, advantages in the regulariser are clipped to ±c. [1] section 4.1: 1.
    advantage_clip: float = 1.0
    # λ, weight of KL(π_CMPO, π) beside the policy gradient. [1] figure 3b: 1.
    regularizer_weight: float = 1.0
    # Actions drawn for the regulariser; 0 takes all of them exactly. [2] table 5: 16.
    num_samples: int = 16
    # Weight of the behaviour policy in the prior. [2]: 0.03.
    prior_behavior: float = 0.03
    # Weight of the uniform policy in the prior; the rest is the target network's. [2]: 0.003.
    prior_uniform: float = 0.003
    # β of the moving second moment of G - v. [2] table 5: 0.99.
    moment_decay: float = 0.99
    # Added to the second moment. [2] table 5: 1e-12.
    moment_epsilon: float = 1e-12
    # Weight of policy gradient and regulariser. [2] cites a policy gradient weight of 3.
    policy_weight: float = 3.0
    # Weight of the model's policies, L_m. Silent; [2] takes 1.
    model_policy_weight: float = 1.0
    # Weight of the values. [2] table 5: 0.25.
    value_weight: float = 0.25
    # Weight of the rewards. [2] table 5: 1.
    reward_weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class MuesliConfig:
    """Muesli."""

    network: NetworkConfig = NetworkConfig(dynamics="lstm")
    history: HistoryConfig = HistoryConfig()
    loss: MuesliLossConfig = MuesliLossConfig()
    replay: MuesliReplayConfig = MuesliReplayConfig()
    # [2] table 5: Adam, 3e-4, no weight decay.
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=3e-4, weight_decay=0.0)
    # [2] table 5: 0.1.
    target_update: TargetUpdateConfig = TargetUpdateConfig(period=1, rate=0.1)
    # How evaluation chooses: the 'mode' of the policy, or a 'sample' of it. The paper's scores
    # are those of training episodes: samples.
    evaluation: Literal["mode", "sample"] = "sample"

    def __post_init__(self) -> None:
        loss = self.loss
        if not 1 <= loss.unroll_steps < loss.sequence_length:
            raise UserError(
                f"loss.unroll_steps must be from 1 to sequence_length - 1 "
                f"({loss.sequence_length - 1}), not {loss.unroll_steps}"
            )
        if loss.num_samples < 0 or loss.num_samples == 1:
            raise UserError(
                f"loss.num_samples must be 0 (all actions) or at least 2, not {loss.num_samples}"
            )
        if not 0 <= loss.prior_behavior + loss.prior_uniform <= 1:
            raise UserError(
                "loss.prior_behavior and loss.prior_uniform must sum to 1 at most, not "
                f"{loss.prior_behavior + loss.prior_uniform}"
            )

    def make_builder(self) -> "MuesliBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.muesli.builder import MuesliBuilder

        return MuesliBuilder(self)
