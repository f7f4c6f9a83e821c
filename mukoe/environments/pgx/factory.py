"""Environment factories of the games of pgx."""

import functools

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.environment import MatchEnvironment, SelfPlayEnvironment
from mukoe.environments.pgx.games import PGX_GAMES, require_pgx
from mukoe.environments.pgx.match import match
from mukoe.environments.pgx.multiplayer.match import match_of_several
from mukoe.environments.pgx.openings import with_random_opening
from mukoe.environments.pgx.opponents import Opponent, make_opponent
from mukoe.environments.pgx.rules import Rules, load_rules
from mukoe.environments.pgx.self_play import self_play
from mukoe.environments.pgx.streams import GameFunctions
from mukoe.environments.vector import EnvironmentFactory, VectorEnvironment
from mukoe.errors import UserError


def make_pgx(config: PgxConfig) -> EnvironmentFactory:
    """Returns the environment factory of a game.

    Training environments are self-play. Evaluation environments of a game of two players or more
    are matches against `config.opponent`, and those of a single-player game are the same as in
    training.

    Raises:
        UserError: pgx is not installed.
    """
    require_pgx(config.game)

    def factory(seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        if evaluation and PGX_GAMES[config.game].players >= 2:
            opponent = make_opponent(config.opponent, config.game, config.rollout_simulations)
            make = make_match_factory(config.game, opponent, config.positions)
            return make(seed, num_envs, evaluation)
        _check_vector(config.game, seed, num_envs)
        opening = 0 if evaluation else config.random_opening_moves
        max_steps = config.max_steps or PGX_GAMES[config.game].max_steps
        functions = _self_play(config.game, max_steps, num_envs, opening, config.positions)
        return SelfPlayEnvironment(functions, seed, evaluation)

    return factory


def make_match_factory(
    game: str, opponent: Opponent, positions: bool = False
) -> EnvironmentFactory:
    """Returns a factory of matches against `opponent`, in training and in evaluation.

    Args:
        game: name of the game.
        opponent: opponent of the agent.
        positions: True for observations that carry the true state.

    Raises:
        UserError: the game has one player, or pgx is not installed.
    """
    if PGX_GAMES[game].players == 1:
        raise UserError(f"'{game}' has one player, so there are no matches in it")
    require_pgx(game)

    def factory(seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        _check_vector(game, seed, num_envs)
        make = match_of_several if PGX_GAMES[game].players >= 3 else match
        functions = make(_rules(game, None, positions), num_envs, opponent)
        return MatchEnvironment(functions, seed, evaluation)

    return factory


@functools.cache
def _rules(game: str, max_steps: int | None, positions: bool) -> Rules:
    rules = load_rules(game, max_steps)
    return rules.with_positions() if positions else rules


@functools.cache
def _self_play(
    game: str, max_steps: int | None, num_envs: int, random_opening_moves: int, positions: bool
) -> GameFunctions:
    """Returns self-play functions; cached, so that equal vectors share one compilation."""
    rules = _rules(game, max_steps, positions)
    if random_opening_moves:
        rules = with_random_opening(rules, random_opening_moves)
    return self_play(rules, num_envs)


def _check_vector(game: str, seed: int, num_envs: int) -> None:
    if seed < 0:
        raise UserError(f"{game}: the seed must not be negative; got {seed}")
    if num_envs < 1:
        raise UserError(f"{game}: a vector needs at least 1 environment; got {num_envs}")
