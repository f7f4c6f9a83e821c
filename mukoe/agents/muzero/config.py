"""The configuration of MuZero."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from mukoe.configuration.bounds import (
    LARGEST_COUNT,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
    UnrolledCount,
)
from mukoe.configuration.fields import Validated
from mukoe.learning.learner import TargetUpdateConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig

if TYPE_CHECKING:
    from mukoe.agents.muzero.builder import MuZeroBuilder


@dataclasses.dataclass(frozen=True)
class MuZeroReplayConfig(Validated):
    """What is kept and how it is sampled."""

    # Steps that are kept.
    capacity: PositiveInt = 100_000
    # Steps before learning starts.
    min_size: PositiveInt = 1_000
    # Sequences in a batch. Paper: 1024 (Atari).
    batch_size: PositiveInt = 64
    # How often a step is sampled on average; None lets learner and actors run freely.
    # Reanalyse (arXiv:1911.08265, appendix H): 2.
    samples_per_insert: Annotated[float, Meta(gt=0, le=LARGEST_COUNT)] | None = 8.0
    # 'prioritized' or 'uniform'.
    sampler: Literal["uniform", "prioritized"] = "prioritized"
    # Probability of a step is proportional to priority**exponent. Paper: 1 (appendix G). At most
    # 4: the fourth power of the largest float32 priority is a finite float64.
    priority_exponent: Annotated[float, Meta(ge=0, le=4)] = 1.0
    # The loss is weighted by (1 / probability)**exponent, over the batch's largest.
    # Paper: 1 (appendix G).
    importance_exponent: UnitInterval = 1.0
    # Added to each priority, so that no step is out of reach.
    priority_epsilon: PositiveFloat = 1e-3


@dataclasses.dataclass(frozen=True)
class MuZeroLossConfig(Validated):
    """Targets and losses."""

    # K, model steps after the root. Paper: 5.
    unroll_steps: UnrolledCount = 5
    # n of the n-step return. Paper: 10 on Atari; Reanalyse: 5.
    td_steps: UnrolledCount = 5
    # λ of the mean of the 1-step to n-step returns that is the value target; 1 takes the n-step
    # return alone. Paper: 1. Stochastic MuZero (Antonoglou et al., ICLR 2022): 0.5 on 2048.
    td_lambda: UnitInterval = 1.0
    # What the n-step return ends with: the stored value of the 'search', or the 'target'
    # network's. Paper: search.
    bootstrap: Literal["search", "target"] = "search"
    # Weight of the policy loss. Paper: 1.
    policy_weight: NonNegativeFloat = 1.0
    # Weight of the value loss. Paper: 1; Reanalyse: 0.25.
    value_weight: NonNegativeFloat = 0.25
    # Weight of the reward loss. Paper: 1.
    reward_weight: NonNegativeFloat = 1.0


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

    def make_builder(self) -> "MuZeroBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.muzero.builder import MuZeroBuilder

        return MuZeroBuilder(self)
