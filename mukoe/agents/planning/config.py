"""Configuration shared by the agents that search."""

import dataclasses
from typing import Annotated, Literal, Protocol

import jax.numpy as jnp
import numpy as np
from msgspec import Meta

from mukoe.agents.planning.augmentation import AugmentationConfig
from mukoe.agents.planning.cloning import CloningConfig
from mukoe.agents.planning.consistency import ConsistencyConfig
from mukoe.agents.planning.memory import ReplayedMemoryConfig
from mukoe.configuration.bounds import (
    LARGEST_COUNT,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
    UnrolledCount,
)
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.learning.returns import RETURN_ESTIMATORS, n_step_states
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig
from mukoe.types import Array, Row


@dataclasses.dataclass(frozen=True)
class PlanningReplayConfig(Validated):
    """Size, sampler and exponents of replay."""

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
    # Added to each priority, so that every step keeps a positive probability.
    priority_epsilon: PositiveFloat = 1e-3
    # Priority of a new step: 'td_error', |search value - return| (paper, appendix G), or
    # 'maximal', the greatest one in replay (EfficientZero, arXiv:2111.00210, appendix).
    initial_priority: Literal["td_error", "maximal"] = "td_error"
    # Fraction of a batch that is drawn from the episodes of --demonstrations, which have a table
    # of their own; rounded to whole sequences.
    demonstration_fraction: UnitInterval = 0.0
    # Steps of demonstrations that are kept, in whole episodes; None for all.
    demonstration_capacity: PositiveInt | None = None
    # Demonstrations that are removed first: the 'oldest' episodes, or the 'worst', with the lowest
    # returns.
    demonstration_remover: Literal["oldest", "worst"] = "oldest"


@dataclasses.dataclass(frozen=True)
class UnrollLossConfig(Validated):
    """Targets and loss weights of an unrolled model."""

    # K, model steps after the root. Paper: 5.
    unroll_steps: UnrolledCount = 5
    # n of the n-step return. Paper: 10 on Atari; Reanalyse: 5.
    td_steps: UnrolledCount = 5
    # Estimator of the value target: 'td_lambda', 'n_step', or `package.module:attribute`, a
    # `mukoe.learning.returns.ReturnEstimator`. Paper: n_step, which is td_lambda with λ 1.
    value_target: str = "td_lambda"
    # λ of the mean of the 1-step to n-step returns that is the value target; 1 takes the n-step
    # return alone. Paper: 1. Stochastic MuZero (Antonoglou et al., ICLR 2022): 0.5 on 2048.
    td_lambda: UnitInterval = 1.0
    # Bootstrap of the n-step return: the stored value of the 'search', or the 'target'
    # network's. Paper: search.
    bootstrap: Literal["search", "target"] = "search"
    # Off-policy correction (EfficientZero, arXiv:2111.00210, section 4.3): updates since the first
    # action of a sequence at which n has fallen from `td_steps` to 1, evenly; None for none.
    max_age: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] | None = None
    # Mixed value target (EfficientZero V2, arXiv:2403.00564, equation 8): updates since the first
    # action of a sequence from which on its value targets are the search values; None for never.
    search_value_age: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] | None = None
    # Weight of the policy loss. Paper: 1.
    policy_weight: NonNegativeFloat = 1.0
    # Weight of the value loss. Paper: 1; Reanalyse: 0.25.
    value_weight: NonNegativeFloat = 0.25
    # Weight of the reward loss. Paper: 1.
    reward_weight: NonNegativeFloat = 1.0
    # Target of the policy: the 'search' policy, or its 'best' action alone, as EfficientZero V2
    # (arXiv:2403.00564) with several dimensions.
    policy_target: Literal["search", "best"] = "search"
    # Weight of the policy's entropy, which is added to the objective. Sampled MuZero: 5e-3.
    entropy_weight: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        RETURN_ESTIMATORS[self.value_target]  # Raises for an unknown name.
        if self.max_age is not None and self.search_value_age is not None:
            raise UserError(
                "loss.max_age and loss.search_value_age both correct the targets of old sequences: "
                "set one of them to none"
            )


@dataclasses.dataclass(frozen=True)
class TargetSettings:
    """Settings of the targets of a sampled sequence.

    unroll_steps: `K`, model steps after the root.
    td_steps: `n` of the n-step return.
    td_lambda: `λ` of the truncated λ-return.
    discount: discount per step, `γ`.
    estimator: estimator of the value targets, a name of `RETURN_ESTIMATORS`.
    bootstrap: source of the bootstrap values, `search` or `target`.
    max_age: age of a sequence at which `n` is 1; None for `td_steps` at every age.
    search_value_age: age of a sequence from which on the search values are the targets; None for
      never.
    """

    unroll_steps: int
    td_steps: int
    discount: float
    td_lambda: float = 1.0
    estimator: str = "td_lambda"
    bootstrap: Literal["search", "target"] = "search"
    max_age: int | None = None
    search_value_age: int | None = None

    def mix(self, returns: Array, search_values: Array, ages: Array | None) -> Array:
        """Returns the value targets `[B, S]`: returns if fresh, search values if old.

        Args:
          returns: returns `[B, S]`, or `[B, S, P]`.
          search_values: search values `[B, S + n]` of the same states and of later ones.
          ages: updates `[B]` since the first action of each sequence; None if unknown.
        """
        if self.search_value_age is None:
            return returns
        assert ages is not None
        is_old = jnp.expand_dims(ages >= self.search_value_age, range(1, returns.ndim))
        return jnp.where(is_old, search_values[:, : returns.shape[1]], returns)

    def steps_at(self, ages: Array | None) -> Array | None:
        """Returns the number of rewards `[B]` int32 of returns, by the age of their sequence.

        `n - ⌊(n - 1) age / max_age⌋`, at least 1; None where it is `n` at every age.

        Args:
          ages: updates `[B]` since the first action of each sequence; None if unknown.
        """
        if self.max_age is None:
            return None
        assert ages is not None
        age = jnp.clip(ages, 0, self.max_age).astype(jnp.float32)
        fewer = jnp.floor((self.td_steps - 1) * (age / self.max_age))
        return self.td_steps - fewer.astype(jnp.int32)

    def returns(self, rows: Row, values: Array, steps: Array | None = None) -> Array:
        """Estimates the returns of rows.

        Args:
          rows: rows `[..., S, ...]`.
          values: bootstrap values `[..., S]`; of three and more players `[..., S, P]`.
          steps: number of rewards `[...]`, from 1 to `n`; None for `n`.

        Returns:
          Returns `[..., S - n]` of the first rows, or `[..., S - n, P]`: those of each player.
        """
        if rows.reward.ndim > rows.discount.ndim:
            stack = np.stack if isinstance(values, np.ndarray) else jnp.stack
            of_players = [
                self.returns(rows._replace(reward=rows.reward[..., p]), values[..., p], steps)
                for p in range(values.shape[-1])
            ]
            return stack(of_players, axis=-1)
        if steps is None:
            return self._estimate(rows, values, self.td_steps)
        length, numbers = values.shape[-1] - self.td_steps, range(1, self.td_steps + 1)
        estimates = [self._estimate(rows, values, n)[..., :length] for n in numbers]
        return jnp.select([steps[..., None] == n for n in numbers], estimates)

    def _estimate(self, rows: Row, values: Array, n: int) -> Array:
        return RETURN_ESTIMATORS[self.estimator](
            rows.reward, rows.discount, rows.mask, values, n, self.discount, self.td_lambda
        )

    def bootstrap_states(self, mask: Array, steps: Array | None = None) -> Array:
        """Returns the indices of the states whose values `returns` reads.

        Args:
          mask: mask `[B, S]` of rows.
          steps: number of rewards `[B]` of the returns; None for `n`.

        Returns:
          `[B, S - n]` for n-step returns, which read one value each; all states `[B, S]` for any
          other estimator.
        """
        if self.estimator == "n_step" or (self.estimator == "td_lambda" and self.td_lambda == 1):
            return n_step_states(mask, self.td_steps, steps)
        return jnp.broadcast_to(jnp.arange(mask.shape[-1]), mask.shape)


class PlanningConfig(Protocol):
    """Settings that `PlanningBuilder` and the shared losses read of an agent's config."""

    @property
    def history(self) -> HistoryConfig: ...
    @property
    def burn_in(self) -> int:
        """Number of rows over which a memory is unrolled before a sequence."""

    @property
    def search(self) -> SearchConfig: ...
    @property
    def targets(self) -> TargetSettings: ...
    @property
    def replay(self) -> PlanningReplayConfig: ...
    @property
    def optimizer(self) -> OptimizerConfig: ...
    @property
    def target_update(self) -> TargetUpdateConfig: ...
    @property
    def reanalyse(self) -> ReanalyseConfig: ...
    @property
    def cloning(self) -> CloningConfig: ...
    @property
    def num_target_bins(self) -> int:
        """Number of bins of one state's categorical targets."""


def leading_rows(config: PlanningConfig) -> int:
    """Returns the number of rows of an item before its first state: history and burn-in."""
    return config.history.frames - 1 + config.burn_in


def check_full_search(search: SearchConfig) -> None:
    """Checks that a search is over all actions, for agents without candidates.

    Raises:
      UserError: the search draws candidates.
    """
    if search.num_candidates:
        raise UserError(
            "search.num_candidates must be 0 for this agent, which searches over all actions, not "
            f"{search.num_candidates}; MuZero and Stochastic MuZero take candidates"
        )


def stores_learner_steps(config: PlanningConfig) -> bool:
    """Returns whether rows hold the learner steps of the parameters that acted."""
    targets = config.targets
    uses_age = targets.max_age is not None or targets.search_value_age is not None
    return uses_age or config.reanalyse.mode != "none"


@dataclasses.dataclass(frozen=True)
class LearnedModelConfig(Validated):
    """Configuration of an agent that searches a learned model."""

    network: NetworkConfig = NetworkConfig()
    history: HistoryConfig = HistoryConfig()
    # γ, discount per step of models and targets. MuZero: 0.997 on Atari, 1 in board games.
    discount: UnitInterval = 0.997
    search: SearchConfig = SearchConfig()
    loss: UnrollLossConfig = UnrollLossConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    replay: PlanningReplayConfig = PlanningReplayConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    target_update: TargetUpdateConfig = TargetUpdateConfig()
    reanalyse: ReanalyseConfig = ReanalyseConfig()
    cloning: CloningConfig = CloningConfig()
    # Memory in front of the representation.
    memory: ReplayedMemoryConfig = ReplayedMemoryConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        renews_values_only = self.reanalyse.mode != "none" and self.reanalyse.search == "values"
        if renews_values_only and self.loss.bootstrap == "target":
            raise UserError(
                "reanalyse.search=values renews the stored values, which loss.bootstrap=target "
                "does not read: set loss.bootstrap=search, or reanalyse.search=full"
            )

    @property
    def targets(self) -> TargetSettings:
        """Settings of the targets."""
        return TargetSettings(
            unroll_steps=self.loss.unroll_steps,
            td_steps=self.loss.td_steps,
            discount=self.discount,
            td_lambda=self.loss.td_lambda,
            estimator=self.loss.value_target,
            bootstrap=self.loss.bootstrap,
            max_age=self.loss.max_age,
            search_value_age=self.loss.search_value_age,
        )

    @property
    def burn_in(self) -> int:
        """Number of rows over which the memory is unrolled before a sequence; 0 without one."""
        return self.memory.burn_in_rows

    @property
    def observed_states(self) -> int:
        """Number of states of an unroll, from the root, whose observation the loss reads."""
        return 1 + (self.loss.unroll_steps if self.consistency.weight else 0)

    @property
    def num_target_bins(self) -> int:
        """Number of bins of one state's value and reward."""
        return self.network.value_support.num_bins + self.network.reward_support.num_bins
