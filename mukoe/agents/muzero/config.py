"""The configuration of MuZero."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from mukoe.configuration.bounds import LARGEST_COUNT, MOST_COMPILED, check_numbers
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

    def __post_init__(self) -> None:
        group = "replay."
        check_numbers(self, "capacity", "min_size", "batch_size", at_least=1, group=group)
        check_numbers(self, "samples_per_insert", above=0, at_most=LARGEST_COUNT, group=group)
        # The fourth power of the largest priority, a float32, is a float64.
        check_numbers(self, "priority_exponent", at_least=0, at_most=4, group=group)
        check_numbers(self, "importance_exponent", at_least=0, at_most=1, group=group)
        check_numbers(self, "priority_epsilon", above=0, group=group)


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

    def __post_init__(self) -> None:
        group = "loss."
        steps = ("unroll_steps", "td_steps")
        check_numbers(self, *steps, at_least=1, at_most=MOST_COMPILED, group=group)
        check_numbers(self, "td_lambda", at_least=0, at_most=1, group=group)
        weights = ("policy_weight", "value_weight", "reward_weight")
        check_numbers(self, *weights, at_least=0, group=group)


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
