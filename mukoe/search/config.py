"""Settings of the search."""

import dataclasses
import itertools
from typing import Annotated

from msgspec import Meta

from mukoe.configuration.bounds import (
    LARGEST_COUNT,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
)
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.search.q_normalization import QNormalizationConfig


@dataclasses.dataclass(frozen=True)
class SearchConfig(Validated):
    """Settings of the search; the defaults are MuZero's on Atari.

    Sources: MuZero (arXiv:1911.08265, appendix and the published pseudo-code), Gumbel MuZero
    (Danihelka et al. 2022, https://openreview.net/forum?id=bERaNdoegnO).
    """

    # 'muzero' (PUCT with Dirichlet noise), 'gumbel' (sequential halving with Gumbel noise), or
    # package.module:attribute of a `mukoe.search.base.SearchAlgorithm`.
    algorithm: str = "muzero"
    # Model steps per decision; 0 acts from the prior alone. MuZero: 50 on Atari, 800 in board
    # games. Gumbel MuZero learns with as few as 2.
    num_simulations: Annotated[int, Meta(ge=0, le=LARGEST_COUNT - 1)] = 50
    # The longest path from the root, in actions; None for no limit, as in both papers.
    max_depth: Annotated[int, Meta(ge=1, le=LARGEST_COUNT - 1)] | None = None

    # K, candidates of a node, drawn from its policy (Sampled MuZero, arXiv:2104.06303), which
    # continuous actions need; 0 searches over all actions of a discrete space. Paper: 20.
    num_candidates: Annotated[int, Meta(ge=0, le=LARGEST_COUNT)] = 0
    # Share of the candidates of a root that come from a widened policy while training.
    # EfficientZero V2 (arXiv:2403.00564): 3/4; Sampled MuZero: 0.
    wide_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    # Standard deviation of the widened policy over that of the policy; for discrete actions, its
    # temperature. EfficientZero V2: 3.
    wide_scale: PositiveFloat = 3.0

    # Range of the Q-values that counts as [0, 1].
    q_normalization: QNormalizationConfig = QNormalizationConfig()

    # 'muzero': concentration of the noise at the root. MuZero: 0.25 on Atari; chess 0.3,
    # shogi 0.15, Go 0.03.
    dirichlet_alpha: PositiveFloat = 0.25
    # 'muzero': share of the noise in the prior of the root. MuZero: 0.25.
    dirichlet_fraction: UnitInterval = 0.25
    # 'muzero': c_1 of the PUCT formula (appendix B, equation 2). MuZero: 1.25.
    pb_c_init: NonNegativeFloat = 1.25
    # 'muzero': c_2 of the PUCT formula. MuZero: 19652.
    pb_c_base: PositiveFloat = 19652.0
    # 'muzero', and 0 simulations: (learner step, temperature of the actions from there on),
    # in ascending order from step 0. MuZero on Atari: these, over 1M steps.
    temperature_schedule: tuple[
        tuple[Annotated[int, Meta(ge=0, le=LARGEST_COUNT)], NonNegativeFloat], ...
    ] = (
        (0, 1.0),
        (500_000, 0.5),
        (750_000, 0.25),
    )
    # Probability to repeat the last action while training, in the first environment of a batch of
    # inference, that of an actor or of several on an inference server; it falls evenly to 0 in the
    # last one. MuZero: 0, which finds no reward that is many equal actions away, see
    # `mukoe.agents.planning.persistence`.
    action_persistence: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    # Temperature of the actions in evaluation, drawn from the search policy; 0 for the best
    # action, as in MuZero. A greedy policy may wait for ever where waiting costs little, such as
    # for the next ball of Breakout.
    evaluation_temperature: NonNegativeFloat = 0.0
    # Mean of the network's priors and values over the symmetries of the board in evaluation:
    # AlphaZero at every node, other agents at the root. AlphaGo (Silver et al. 2016): the explicit
    # symmetry ensemble.
    evaluation_symmetries: bool = False
    # Start of a search in evaluation from the subtree of the previous one that the moves since
    # then led to, in AlphaZero without chance. AlphaGo Zero (Silver et al. 2017, methods).
    evaluation_reuse_tree: bool = False
    # Searches of a position in evaluation, with noise at their roots, whose policies are averaged;
    # each has `num_simulations`. 1: one search without noise.
    evaluation_trees: PositiveInt = 1

    # 'gumbel': actions that sequential halving starts with; with as many of them as simulations,
    # every path ends after one action. Gumbel MuZero: 16; EfficientZero V2: 4 of 16 simulations.
    max_num_considered_actions: PositiveInt = 16
    # 'gumbel': scale of the Gumbel noise while training. Gumbel MuZero: 1.
    gumbel_scale: NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        from mukoe.search.plan import ALGORITHMS

        ALGORITHMS[self.algorithm]  # Raises for an unknown name.
        self._check_temperatures()
        self._check_trees()

    def _check_trees(self) -> None:
        if self.evaluation_trees > 1 and self.evaluation_reuse_tree:
            raise UserError(
                "search.evaluation_trees above 1 and search.evaluation_reuse_tree exclude each "
                "other: the kept visits would be those of another noise; set one of them"
            )
        if self.evaluation_trees > 1 and self.num_candidates:
            raise UserError(
                "search.evaluation_trees above 1 needs a search over all actions: the candidates "
                "of the trees differ; set it to 1, or search.num_candidates to 0"
            )

    def _check_temperatures(self) -> None:
        steps = [step for step, _ in self.temperature_schedule]
        if not steps or steps[0] != 0 or any(b <= a for a, b in itertools.pairwise(steps)):
            raise UserError(
                f"the steps of a temperature schedule must ascend from 0, unlike {steps}"
            )
