"""The configuration of AlphaZero.

Paper: Silver et al., "A general reinforcement learning algorithm that masters chess, shogi, and
Go through self-play", Science 2018, arXiv:1712.01815.
"""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from mukoe.agents.planning.cloning import CloningConfig
from mukoe.agents.planning.config import (
    PlanningReplayConfig,
    TargetSettings,
    check_full_search,
)
from mukoe.configuration.bounds import (
    MOST_COMPILED,
    NonNegativeFloat,
    PositiveInt,
    UnitInterval,
    UnrolledCount,
)
from mukoe.configuration.fields import Validated
from mukoe.environments.pgx.games import PGX_GAMES, check_searchable
from mukoe.errors import UserError
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.precision import Precision
from mukoe.networks.torsos import TORSOS
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import BOARD_GAMES

if TYPE_CHECKING:
    from mukoe.agents.alphazero.builder import AlphaZeroBuilder


@dataclasses.dataclass(frozen=True)
class AlphaZeroNetworkConfig(Validated):
    """The network: a tower of residual blocks on the board, and two heads."""

    # Torso in front of the blocks, a name in `mukoe.networks.torsos`, or package.module:attribute
    # of another one. Paper: 'board', one convolution.
    torso: str = "board"
    # Widths of the torso's hidden layers; 'board' has none.
    hidden_sizes: tuple[PositiveInt, ...] = (64,)
    # Channels of the tower. Paper: 256.
    width: PositiveInt = 32
    # Residual blocks of the tower. Paper: 19.
    blocks: Annotated[int, Meta(ge=0, le=MOST_COMPILED)] = 4
    # Channels of the 1x1 convolution of a head. Paper (AlphaGo Zero): policy 2, value 1.
    head_channels: PositiveInt = 8
    # Hidden layers of a head. Paper (AlphaGo Zero): value 256, policy none.
    head_sizes: tuple[PositiveInt, ...] = (64,)
    # Bins of the value: loss, draw and win. Paper: one number, by its squared error.
    value_support: SupportConfig = SupportConfig(-1.0, 1.0, 3, hyperbolic=False)
    # Type in which layers compute: 'float32', or 'bfloat16' on accelerators, while parameters,
    # optimiser, targets and losses are float32.
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        TORSOS[self.torso]  # Raises for an unknown name.


@dataclasses.dataclass(frozen=True)
class AlphaZeroLossConfig(Validated):
    """The loss: the search's policy and the return."""

    # n of the n-step return, needed in games of chance; None for the outcome of the game, as in
    # the paper.
    td_steps: UnrolledCount | None = None
    # Bootstrap of the n-step return: the stored value of the 'search', or the 'target' network's.
    bootstrap: Literal["search", "target"] = "search"

    # Weight of the value's loss; that of the policy is 1. Paper: 1.
    value_weight: NonNegativeFloat = 1.0
    # Weight of the afterstate value's loss, in games of chance. Stochastic MuZero: 1.
    afterstate_value_weight: NonNegativeFloat = 1.0


@dataclasses.dataclass(frozen=True)
class AlphaZeroConfig(Validated):
    """AlphaZero; with `search.algorithm='gumbel'` Gumbel AlphaZero."""

    # Game whose rules are searched, that of the environment: without chance, or of known chance.
    game: str
    network: AlphaZeroNetworkConfig = AlphaZeroNetworkConfig()
    # γ, discount per move. Paper: 1.
    discount: UnitInterval = 1.0
    search: SearchConfig = SearchConfig(
        algorithm="gumbel", num_simulations=32, q_normalization=BOARD_GAMES
    )
    loss: AlphaZeroLossConfig = AlphaZeroLossConfig()
    replay: PlanningReplayConfig = PlanningReplayConfig(sampler="uniform")
    optimizer: OptimizerConfig = OptimizerConfig()
    # Schedule of the target network, which its bootstrap and reanalysis in the learner read.
    target_update: TargetUpdateConfig = TargetUpdateConfig()
    reanalyse: ReanalyseConfig = ReanalyseConfig()
    cloning: CloningConfig = CloningConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_searchable(self.game)
        check_full_search(self.search)
        if self.loss.td_steps is None and PGX_GAMES[self.game].max_moves is None:
            raise UserError(f"'{self.game}' has no longest game: set agent.loss.td_steps")

    @property
    def history(self) -> HistoryConfig:
        """History of the network input: the current position alone."""
        return HistoryConfig(frames=1)

    @property
    def burn_in(self) -> int:
        """Number of rows over which a memory is unrolled before a sequence: it has none."""
        return 0

    @property
    def searches_positions(self) -> bool:
        """True: the search needs the true state beside the observation."""
        return True

    @property
    def targets(self) -> TargetSettings:
        """Settings of the targets: an n-step return or the outcome, without an unroll."""
        steps = self.loss.td_steps or PGX_GAMES[self.game].max_moves
        assert steps is not None, "checked by __post_init__"
        return TargetSettings(
            unroll_steps=0,
            td_steps=steps,
            discount=self.discount,
            bootstrap=self.loss.bootstrap,
        )

    @property
    def num_target_bins(self) -> int:
        """Number of bins of the value."""
        return self.network.value_support.num_bins

    def make_builder(self) -> "AlphaZeroBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.alphazero.builder import AlphaZeroBuilder

        return AlphaZeroBuilder(self)
