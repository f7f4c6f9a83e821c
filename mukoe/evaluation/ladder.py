"""Ladders: ratings of the checkpoints of a run and of fixed opponents from their matches."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
from msgspec import Meta

from mukoe.configuration.bounds import NonNegativeInt, PositiveInt, Seed
from mukoe.configuration.fields import Validated
from mukoe.environments.pgx.games import MAX_OPENING_MOVES
from mukoe.environments.pgx.opponents import OPPONENTS
from mukoe.environments.repetition import warn_of_repetitions
from mukoe.errors import UserError
from mukoe.evaluation.elo import EloRatings, bootstrap_elo
from mukoe.evaluation.engine_matches import EngineMatches
from mukoe.evaluation.engines.names import FORMS, is_engine
from mukoe.evaluation.matches import Games, Matches
from mukoe.evaluation.players import (
    Player,
    Reference,
    agent_opponent,
    agent_player,
    make_fixed_player,
    open_agent,
    rules_with_opening,
    two_player_game,
)
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.learning.checkpoint import Checkpointer

NEIGHBOURS = 2


@dataclasses.dataclass(frozen=True)
class LadderConfig(Validated):
    """Settings of a ladder."""

    # Games of each pair, half of them in each seat.
    games: Annotated[int, Meta(ge=2)] = 40
    # Fixed opponents and engines.
    opponents: tuple[str, ...] = ("random", "rollout")
    # Opponent or engine with the rating `anchor_elo`; None for the first opponent.
    anchor: str | None = None
    # Rating of the anchor.
    anchor_elo: Annotated[float, Meta(ge=-10_000, le=10_000)] = 0.0
    # Maximum number of checkpoints, evenly spread over those of the run, first and last
    # included.
    checkpoints: PositiveInt = 12
    # 'round_robin': all pairs of players. 'neighbours': each checkpoint against the fixed
    # opponents and the two previous checkpoints.
    schedule: Literal["round_robin", "neighbours"] = "round_robin"
    # Simulations per move of the checkpoints; None for those of the run's config.
    simulations: NonNegativeInt | None = None
    # Simulations per move of 'rollout'; None for those of the run's config.
    opponent_simulations: NonNegativeInt | None = None
    # Random opening moves of each side.
    opening_moves: Annotated[int, Meta(ge=0, le=MAX_OPENING_MOVES)] = 1
    # Seed of games and bootstrap.
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.games % 2:
            raise UserError(f"games must be even, not {self.games}")
        for name in self.fixed_players:
            if name not in OPPONENTS and not is_engine(name):
                known = ", ".join([*OPPONENTS, *FORMS])
                raise UserError(f"unknown opponent '{name}'; known are {known}")

    @property
    def fixed_players(self) -> tuple[str, ...]:
        """Opponents, with the anchor as the first one."""
        if self.anchor is None:
            return self.opponents
        return (self.anchor, *(name for name in self.opponents if name != self.anchor))


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Rated ladder.

    game: name of the game.
    players: `N` players, the fixed opponents first, then the checkpoints in ascending order.
    results: `[N, N, 3]` counts of results, as in `elo.fit_elo`.
    ratings: ratings of the players; that of the first one, the anchor, is `config.anchor_elo`.
    config: settings of the ladder.
    """

    game: str
    players: Sequence[Player]
    results: np.ndarray
    ratings: EloRatings
    config: LadderConfig


def open_players(workdir: Path, config: LadderConfig) -> tuple[str, list[Player]]:
    """Returns the game and the players of a run's ladder.

    Args:
      workdir: directory of the run.
      config: settings of the ladder.

    Raises:
      UserError: there is no run, its environment is no two-player game, there are fewer than
        two players, or an opponent does not fit.
    """
    runs = open_checkpoints(workdir, config.checkpoints, config.simulations)
    game = two_player_game(runs[0])
    if game is None:
        raise UserError(f"a ladder needs a game of two players, unlike that of {workdir}")
    memory = RequiredMemory(runs[0].experiment, runs[0].environment_spec)
    memory.check_acting(config.games, "lower --games or --simulations", evaluation=True)
    simulations = config.opponent_simulations
    if simulations is None:
        simulations = runs[0].config.environment.rollout_simulations
    players = [
        make_fixed_player(name, game, simulations, config.seed) for name in config.fixed_players
    ]
    players += _agents(runs)
    if len(players) < 2:
        raise UserError(
            f"{workdir} has kept one checkpoint: a ladder of it needs opponents, or a run with "
            "a larger run.keep_checkpoints"
        )
    return game, players


def open_checkpoints(workdir: Path, count: int, simulations: int | None) -> list[StoredRun]:
    """Returns at most `count` checkpoints of a run, evenly spread, in ascending order.

    Args:
      workdir: directory of the run.
      count: maximum number of checkpoints; the last one is included, and the first one if there
        are several.
      simulations: simulations per move; None for those of the run's config.

    Raises:
      UserError: there is no run or no checkpoint.
    """
    steps = Checkpointer(workdir / "checkpoints").spread_steps(count)
    # Without checkpoints, `open_agent` raises the error.
    references = [Reference(workdir, step=step) for step in steps] or [Reference(workdir)]
    return [open_agent(reference, simulations) for reference in references]


def play_self(
    game: str,
    workdir: Path,
    config: LadderConfig,
    on_match: Callable[[], None] = lambda: None,
) -> dict[str, Games]:
    """Plays each checkpoint against itself, with exploration, from the initial position.

    Args:
      game: name of the game.
      workdir: directory of the run.
      config: settings of the ladder.
      on_match: callback after the games of each checkpoint.

    Returns:
      The games by the names of the checkpoints in `open_players`.
    """
    runs = open_checkpoints(workdir, config.checkpoints, config.simulations)
    make = functools.partial(agent_opponent, runs[0].make_policy(evaluation=False))
    matches = Matches(rules_with_opening(game, 0), config.games // 2)
    key, played = jax.random.PRNGKey(config.seed), {}
    for index, player in enumerate(_players(runs, make)):
        played[player.name] = matches.play(player, player, jax.random.fold_in(key, index))
        on_match()
    return played


def _agents(runs: Sequence[StoredRun]) -> list[Player]:
    """Returns the checkpoints as players with a shared policy, which is compiled once."""
    return _players(runs, functools.partial(agent_opponent, runs[0].make_policy()))


def _players(runs: Sequence[StoredRun], make: Callable) -> list[Player]:
    return [agent_player(run, make, f"step {int(run.params.learner_steps)}") for run in runs]


def schedule(players: Sequence[Player], config: LadderConfig) -> list[tuple[int, int]]:
    """Returns the pairs `(i, j)`, `i < j`, of the matches; see `LadderConfig.schedule`."""
    pairs = list(itertools.combinations(range(len(players)), 2))
    if config.schedule == "round_robin":
        return pairs
    return [(i, j) for i, j in pairs if players[i].learner_step is None or j - i <= NEIGHBOURS]


def play_ladder(
    game: str,
    players: Sequence[Player],
    config: LadderConfig,
    on_pair: Callable[[], None] = lambda: None,
) -> Ladder:
    """Plays all games and rates the players.

    Args:
      game: name of the game.
      players: `N` players; the first one is the anchor.
      config: settings of the ladder.
      on_pair: callback after the match of each pair.
    """
    matches = Matches(rules_with_opening(game, config.opening_moves), config.games // 2)
    engine_matches = EngineMatches(game, config.games // 2, config.opening_moves)
    results = np.zeros((len(players), len(players), 3), np.int64)
    key = jax.random.PRNGKey(config.seed)
    pairs, repeated = schedule(players, config), 0
    for index, (i, j) in enumerate(pairs):
        with_engine = players[i].engine is not None or players[j].engine is not None
        play = engine_matches.play if with_engine else matches.play
        games = play(players[j], players[i], jax.random.fold_in(key, index))
        first, second = map(_distinct_scores, games.scores, games.checksums)
        results[j, i] += _tally(first)
        results[i, j] += _tally(-second)
        repeated += len(first) + len(second) < config.games
        on_pair()
    if repeated:
        warn_of_repetitions(f"the games in a seat of {repeated} of {len(pairs)} matches")
    ratings = bootstrap_elo(results, np.random.default_rng(config.seed))
    return Ladder(game, players, results, ratings.shifted(config.anchor_elo), config)


def _distinct_scores(scores: np.ndarray, checksums: np.ndarray) -> np.ndarray:
    """Returns the scores that count: one if all games are the same, as checksums tell."""
    return scores[:1] if np.all(checksums == checksums[0]) else scores


def _tally(scores: np.ndarray) -> list[int]:
    """Returns wins, draws and losses of the first player."""
    return [int((scores > 0).sum()), int((scores == 0).sum()), int((scores < 0).sum())]
