"""Settings of the games of pgx."""

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

from mukoe.configuration.bounds import LARGEST_COUNT
from mukoe.configuration.fields import Validated
from mukoe.environments.pgx.games import MAX_OPENING_MOVES, PGX_GAMES, check_searchable
from mukoe.environments.pgx.opponents import MAX_ROLLOUTS, Opponent, check_opponent
from mukoe.environments.similar_names import similar_names
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError


@dataclasses.dataclass(frozen=True)
class PgxConfig(Validated):
    """A game of pgx. MinAtar has pgx's sticky actions (probability 0.1) and minimal action set."""

    # Name of the game, one of `PGX_GAMES`.
    game: str
    # Opponent in evaluations of a game of two players or more; see `OPPONENTS`.
    opponent: Literal["random", "exact", "rollout"] = "random"
    # Simulations per move of the opponent 'rollout'.
    rollout_simulations: Annotated[int, Meta(ge=1, le=MAX_ROLLOUTS)] = 64
    # Agent steps after which an episode of a single-player game is truncated. None: 10,000 in
    # MinAtar, no limit in 2048.
    max_steps: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] | None = None
    # Maximum number of random moves before a game of self-play, drawn uniformly from 0 to this
    # number, which diversifies the positions. Evaluations start from the initial position.
    random_opening_moves: Annotated[int, Meta(ge=0, le=MAX_OPENING_MOVES)] = 0
    # Observations carry the true state, which AlphaZero searches; AlphaZero sets it.
    positions: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.game not in PGX_GAMES:
            near = similar_names(self.game, PGX_GAMES)
            hint = (
                f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(PGX_GAMES)}"
            )
            raise UserError(f"there is no game '{self.game}' of pgx; {hint}")
        several = PGX_GAMES[self.game].players >= 2
        if several:
            check_opponent(self.opponent, self.game, self.rollout_simulations)
        if self.max_steps is not None and several:
            raise UserError(f"'{self.game}' ends by its rules; max_steps is for single players")
        if self.random_opening_moves and not several:
            raise UserError(f"'{self.game}' has one player; random_opening_moves is for two")
        if self.positions:
            check_searchable(self.game)

    @property
    def two_players(self) -> bool:
        """True if two players take turns."""
        return PGX_GAMES[self.game].players == 2

    def without_openings(self) -> "PgxConfig":
        """Returns a copy of the configuration whose games start from the initial position."""
        return dataclasses.replace(self, random_opening_moves=0)

    def with_positions(self) -> "PgxConfig":
        """Returns a copy of the configuration whose observations carry the true state.

        Raises:
            UserError: a search cannot apply the rules of the game.
        """
        return dataclasses.replace(self, positions=True)

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`; see `make_pgx`.

        Raises:
            UserError: pgx is not installed.
        """
        from mukoe.environments.pgx.factory import make_pgx

        return make_pgx(self)

    def make_match_factory(self, opponent: Opponent) -> EnvironmentFactory:
        """Returns a factory of matches against `opponent`, in training and in evaluation.

        Raises:
            UserError: the game has one player, or pgx is not installed.
        """
        from mukoe.environments.pgx.factory import make_match_factory

        return make_match_factory(self.game, opponent, self.positions)
