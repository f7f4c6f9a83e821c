"""The configuration of MuZero."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from mukoe.errors import UserError
from mukoe.learning.learner import TargetUpdateConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import NetworkConfig
from mukoe.search.config import SearchConfig

if TYPE_CHECKING:
    from mukoe.agents.muzero.builder import MuZeroBuilder


@dataclasses.dataclass(frozen=True)
class MuZeroReplayConfig:
    """What is kept and how it is sampled."""

    # Steps that are kept.
    capacity: int = 100_000
    # Steps before learning starts.
    min_size: int = 1_000
    # Sequences in a batch. Paper: 1024 (Atari).
    batch_size: int = 64
    # How often a step is sampled on average; None lets learner and actors run freely.
    # Reanalyse (arXiv:1911.08265, appendix H): 2.
    samples_per_insert: float | None = 8.0
    # 'prioritized' or 'uniform'.
    sampler: Literal["uniform", "prioritized"] = "prioritized"
    # Probability of a step is proportional to priority**exponent. Paper: 1 (appendix G).
    priority_exponent: float = 1.0
    # The loss is weighted by (1 / probability)**exponent, over the batch's largest.
    # Paper: 1 (appendix G).
    importance_exponent: float = 1.0
    # Added to each priority, so that no step is out of reach.
    priority_epsilon: float = 1e-3


@dataclasses.dataclass(frozen=True)
class MuZeroLossConfig:
    """Targets and losses."""

    # K, model steps after the root. Paper: 5.
    unroll_steps: int = 5
    # n of the n-step return. Paper: 10 on Atari; Reanalyse: 5.
    td_steps: int = 5
    # λ of the mean of the 1-step to n-step returns that is the value target; 1 takes the n-step
    # return alone. Paper: 1. Stochastic MuZero (Antonoglou et al., ICLR 2022): 0.5 on 2048.
    td_lambda: float = 1.0
    # What the n-step return ends with: the stored value of the 'search', or the 'target'
    # network's. Paper: search.
    bootstrap: Literal["search", "target"] = "search"
    # Weights of the losses. Paper: 1 each; Reanalyse: value 0.25.
    policy_weight: float = 1.0
    value_weight: float = 0.25
    reward_weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class MuZeroConfig:
    """MuZero and Gumbel MuZero (`search.algorithm`)."""

    network: NetworkConfig = NetworkConfig()
    history: HistoryConfig = HistoryConfig()
    search: SearchConfig = SearchConfig()
    loss: MuZeroLossConfig = MuZeroLossConfig()
    replay: MuZeroReplayConfig = MuZeroReplayConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    target_update: TargetUpdateConfig = TargetUpdateConfig()

    def __post_init__(self) -> None:
        if self.loss.unroll_steps < 1:
            raise UserError(f"loss.unroll_steps must be at least 1, not {self.loss.unroll_steps}")
        if self.loss.td_steps < 1:
            raise UserError(f"loss.td_steps must be at least 1, not {self.loss.td_steps}")
        if not 0 <= self.loss.td_lambda <= 1:
            raise UserError(f"loss.td_lambda must be from 0 to 1, not {self.loss.td_lambda}")

    def make_builder(self) -> "MuZeroBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.muzero.builder import MuZeroBuilder

        return MuZeroBuilder(self)
