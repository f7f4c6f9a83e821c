"""Settings of the games of pgx."""

import dataclasses
import difflib
from typing import Literal

from mukoe.configuration.bounds import LARGEST_COUNT, check_numbers
from mukoe.environments.pgx.games import MOST_OPENING_MOVES, PGX_GAMES, Opponent
from mukoe.environments.pgx.opponents import MOST_ROLLOUTS, check_opponent
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError


@dataclasses.dataclass(frozen=True)
class PgxConfig:
    """A game of pgx. MinAtar has the sticky actions (0.1) and the minimal actions of pgx."""

    # One of `PGX_GAMES`.
    game: str
    # Whom evaluations of a two-player game are played against; see `OPPONENTS`.
    opponent: Literal["random", "exact", "rollout"] = "random"
    # Simulations per move of the opponent 'rollout'.
    rollout_simulations: int = 64
    # Agent steps after which an episode of a single-player game is truncated. None: 10,000 in
    # MinAtar, without limit in 2048.
    max_steps: int | None = None
    # Games of self-play begin after 0 to so many random moves, any number as often, so that
    # the agent sees more than the positions it likes; evaluations begin at the start.
    random_opening_moves: int = 0

    def __post_init__(self) -> None:
        if self.game not in PGX_GAMES:
            near = difflib.get_close_matches(self.game, PGX_GAMES, n=3, cutoff=0.5)
            hint = (
                f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(PGX_GAMES)}"
            )
            raise UserError(f"there is no game '{self.game}' of pgx; {hint}")
        if self.two_players:
            check_opponent(self.opponent, self.game, self.rollout_simulations)
        if self.max_steps is not None and self.two_players:
            raise UserError(f"'{self.game}' ends by its rules; max_steps is for single players")
        check_numbers(self, "max_steps", at_least=1, at_most=LARGEST_COUNT)
        check_numbers(self, "rollout_simulations", at_least=1, at_most=MOST_ROLLOUTS)
        check_numbers(self, "random_opening_moves", at_least=0, at_most=MOST_OPENING_MOVES)
        if self.random_opening_moves and not self.two_players:
            raise UserError(f"'{self.game}' has one player; random_opening_moves is for two")

    @property
    def two_players(self) -> bool:
        """Whether two players take turns."""
        return PGX_GAMES[self.game].players == 2

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

        return make_match_factory(self.game, opponent)
