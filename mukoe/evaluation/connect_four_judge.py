"""Moves of Connect Four judged by the perfect solver: by ply, and over training."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
from msgspec import Meta

from mukoe.configuration.bounds import NonNegativeInt, PositiveInt, Seed
from mukoe.configuration.fields import Validated
from mukoe.environments.pgx.games import MAX_OPENING_MOVES
from mukoe.errors import UserError
from mukoe.evaluation.engine_matches import EngineMatches, RecordedGames
from mukoe.evaluation.engines.perfect_connect_four import GAME, NAME, move_scores
from mukoe.evaluation.ladder import open_checkpoints
from mukoe.evaluation.players import (
    Player,
    agent_opponent,
    agent_player,
    open_opponent,
    two_player_game,
)


@dataclasses.dataclass(frozen=True)
class JudgeConfig(Validated):
    """Settings of a judgement."""

    # Games of each checkpoint, half of them in each seat.
    games: Annotated[int, Meta(ge=2)] = 40
    # Opponent: the perfect solver, another fixed opponent, an engine or a run.
    opponent: str = NAME
    # Maximum number of checkpoints, evenly spread over those of the run, the last one included.
    checkpoints: PositiveInt = 1
    # Simulations per move of the checkpoints; None for those of the run's config.
    simulations: NonNegativeInt | None = None
    # Random opening moves of each side.
    opening_moves: Annotated[int, Meta(ge=0, le=MAX_OPENING_MOVES)] = 1
    # Seed of openings, agent and opponent.
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.games % 2:
            raise UserError(f"games must be even, not {self.games}")


class JudgedMove(NamedTuple):
    """Move beside perfect play.

    ply: number of moves before it.
    optimal: True for the fastest win, a draw where there is no win, or the latest loss.
    keeps_value: True if the game-theoretic value (win, draw, loss) is kept.
    """

    ply: int
    optimal: bool
    keeps_value: bool


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Judged games of one player.

    player: player whose moves are judged.
    moves: its moves in all games.
    scores: `[2, N / 2]` its scores (1, 0, -1) in the games that it began, and in the others.
    """

    player: Player
    moves: Sequence[JudgedMove]
    scores: np.ndarray

    def share_optimal(self) -> float:
        """Returns the share of optimal moves."""
        return float(np.mean([move.optimal for move in self.moves]))

    def share_keeping(self) -> float:
        """Returns the share of moves that keep the value of the game."""
        return float(np.mean([move.keeps_value for move in self.moves]))


def judge_move(moves: Sequence[int], action: int) -> JudgedMove:
    """Judges a move.

    Args:
      moves: moves of both players before it.
      action: column.
    """
    scores = move_scores(moves)
    best = max(scores.values())
    keeps = np.sign(scores[action]) == np.sign(best)
    return JudgedMove(len(moves), scores[action] == best, bool(keeps))


def judge_games(games: RecordedGames) -> list[JudgedMove]:
    """Judges the moves of the player in recorded games, those of the opening left out."""
    return [
        judge_move(moves[:ply], moves[ply])
        for seat in (0, 1)
        for index, moves in enumerate(games.moves[seat])
        for ply in range(int(games.openings[seat, index]) + seat, len(moves), 2)
    ]


def judge_player(player: Player, opponent: Player, matches: EngineMatches, seed: int) -> Judgement:
    """Plays games and judges the moves of a player.

    Args:
      player: player whose moves are judged.
      opponent: opponent.
      matches: match of Connect Four.
      seed: seed of openings and players.
    """
    games = matches.play(player, opponent, jax.random.PRNGKey(seed))
    return Judgement(player, judge_games(games), games.scores)


def open_judged(workdir: Path, config: JudgeConfig) -> tuple[list[Player], Player]:
    """Returns the checkpoints of a run as players, in ascending order, and their opponent.

    Args:
      workdir: directory of the run.
      config: settings.

    Raises:
      UserError: there is no run of Connect Four, or the opponent does not fit.
    """
    runs = open_checkpoints(workdir, config.checkpoints, config.simulations)
    if (game := two_player_game(runs[0])) != GAME:
        raise UserError(f"the judge knows perfect play of {GAME} only, not of {game or workdir}")
    environment = runs[0].config.environment
    opponent = open_opponent(config.opponent, GAME, None, environment, config.seed)
    make = functools.partial(agent_opponent, runs[0].make_policy())
    steps = [int(run.params.learner_steps) for run in runs]
    players = [agent_player(run, make, f"step {n}") for run, n in zip(runs, steps, strict=True)]
    return players, opponent


def judge_players(
    players: Sequence[Player],
    opponent: Player,
    config: JudgeConfig,
    on_player: Callable[[], None] = lambda: None,
) -> list[Judgement]:
    """Judges players one after the other.

    Args:
      players: players of Connect Four.
      opponent: opponent of all of them.
      config: settings.
      on_player: callback after each player.
    """
    matches = EngineMatches(GAME, config.games // 2, config.opening_moves)
    judgements = []
    for player in players:
        judgements.append(judge_player(player, opponent, matches, config.seed))
        on_player()
    return judgements
