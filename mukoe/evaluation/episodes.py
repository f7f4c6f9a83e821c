"""Evaluation of a run's agent on episodes."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import numpy as np
from msgspec import Meta

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import ConstantVariableSource, VariableClient
from mukoe.configuration.bounds import NonNegativeInt, PositiveInt, Seed
from mukoe.configuration.fields import Validated
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.scores import ATARI_57, human_normalised_score
from mukoe.environments.pgx.environment import MatchEnvironment
from mukoe.environments.pgx.games import MAX_OPENING_MOVES
from mukoe.environments.pgx.match import match
from mukoe.environments.repetition import RepetitionDetector
from mukoe.environments.tasks import task_returns
from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.evaluation.engine_episodes import play_engine
from mukoe.evaluation.engine_matches import EngineMatches
from mukoe.evaluation.players import (
    Player,
    agent_opponent,
    agent_player,
    averages_symmetries,
    open_opponent,
    reuses_trees,
    rules_with_opening,
    simulations_of,
    temperature_of,
    trees_of,
    two_player_game,
)
from mukoe.evaluation.scores import ScoreStatistics, score_statistics
from mukoe.layouts.common.evaluator import warn_of_cut_off
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.types import EpisodeResult

SEATS = ("first", "second")
"""Names of the seats of a match, by the order of moves."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Validated):
    """Settings of an evaluation."""

    # Number of episodes.
    episodes: PositiveInt = 100
    # Number of environments stepped together.
    num_envs: PositiveInt = 32
    # Agent steps after which an episode is cut off, its return so far counts, and its environment
    # plays no further episode; None for `run.evaluation_max_steps` of the run.
    max_steps: PositiveInt | None = None
    # Seed of environments, opponents and bootstrap.
    seed: Seed = 0
    # Opponent of two-player games: 'random', 'exact', 'rollout', an engine or a run; None for
    # the opponent of the run's config.
    opponent: str | None = None
    # Simulations per move of the opponent; None for those of its config.
    opponent_simulations: NonNegativeInt | None = None
    # Random opening moves of each side; None for 1 against an engine or the agent of a run,
    # which may be deterministic, and 0 against other opponents.
    opening_moves: Annotated[int, Meta(ge=0, le=MAX_OPENING_MOVES)] | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """Counts of game results."""

    wins: int
    draws: int
    losses: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Episodes of an evaluation with their statistics.

    run: evaluated run.
    results: results of the episodes; one per seat if all episodes of each seat are equal.
    statistics: statistics of the returns; intervals are stratified over the seats.
    seed: seed of the evaluation.
    opponent: opponent in two-player games, else None.
    opening_moves: random opening moves of each side; None without an opponent.
    human_normalised: mean return on the scale of random play (0) and a human (1); None
        without a known human score.
    cut_off: number of episodes that were cut off at the step limit.
    """

    run: StoredRun
    results: Sequence[EpisodeResult]
    statistics: ScoreStatistics
    seed: int
    opponent: Player | None = None
    opening_moves: int | None = None
    human_normalised: float | None = None
    cut_off: int = 0

    def record(self, seat: int | None = None) -> Record:
        """Returns wins, draws and losses of all games, or of the games in one seat."""
        returns = np.array(
            [r.episode_return for r in self.results if seat is None or r.seat == seat]
        )
        return Record(int((returns > 0).sum()), int((returns == 0).sum()), int((returns < 0).sum()))


def evaluate(
    run: StoredRun,
    config: EvaluationConfig,
    on_result: Callable[[EpisodeResult], None] = lambda _: None,
) -> Evaluation:
    """Plays episodes with the agent of a run, without exploration.

    Args:
      run: run whose agent is evaluated.
      config: settings of the evaluation.
      on_result: callback for each finished episode.

    Raises:
      UserError: the opponent does not fit the game.
    """
    opponent, opening_moves = _find_opponent(run, config)
    if opponent is None or opponent.engine is None:
        results, cut_off = _play_episodes(run, config, opponent, opening_moves, on_result)
    else:
        results, cut_off = _play_engine(run, config, opponent, opening_moves or 0, on_result), 0
    returns = [result.episode_return for result in results]
    seats = [result.seat for result in results]
    statistics = score_statistics(returns, np.random.default_rng(config.seed), seats)
    return Evaluation(
        run=run,
        results=results,
        statistics=statistics,
        seed=config.seed,
        opponent=opponent,
        opening_moves=opening_moves,
        human_normalised=_human_normalised(run.config.environment, statistics.mean),
        cut_off=cut_off,
    )


def _play_episodes(
    run: StoredRun,
    config: EvaluationConfig,
    opponent: Player | None,
    opening_moves: int | None,
    on_result: Callable[[EpisodeResult], None],
) -> tuple[list[EpisodeResult], int]:
    """Plays in a vector environment; returns results and the number of cut-off episodes."""
    environment = RepetitionDetector(_make_environment(run, config, opponent, opening_moves))
    max_steps = config.max_steps or run.config.run.evaluation_max_steps
    with contextlib.closing(environment):
        policy = run.make_policy()
        variables = VariableClient(ConstantVariableSource(run.params), period_updates=0)
        key = jax.random.PRNGKey(config.seed)
        runner = LocalRunner(policy, variables, key, environment.num_envs)
        loop = EnvironmentLoop(environment, run.experiment.builder.make_actor(policy, runner))
        played = loop.run_episodes(config.episodes, on_result=on_result, max_steps=max_steps)
    if played.cut_off:
        warn_of_cut_off(played, "--max_steps", max_steps)
    return environment.without_repetitions(played.results), played.cut_off


def _play_engine(
    run: StoredRun,
    config: EvaluationConfig,
    opponent: Player,
    opening_moves: int,
    on_result: Callable[[EpisodeResult], None],
) -> list[EpisodeResult]:
    """Plays an engine; returns one result per seat if all games of each seat are equal."""
    if config.max_steps is not None:
        raise UserError("games against an engine end by their rules: leave out --max_steps")
    game = run.config.environment.game
    make = functools.partial(agent_opponent, run.make_policy())
    matches = EngineMatches(game, max(min(config.num_envs, config.episodes) // 2, 1), opening_moves)
    return play_engine(
        matches, agent_player(run, make, "agent"), opponent, config.episodes, config.seed, on_result
    )


def _find_opponent(run: StoredRun, config: EvaluationConfig) -> tuple[Player | None, int | None]:
    """Returns the opponent and the opening moves; None for a single player."""
    game = two_player_game(run)
    if game is None:
        for field in ("opponent", "opponent_simulations", "opening_moves"):
            if getattr(config, field) is not None:
                raise UserError(
                    f"the environment of {run.workdir} has one player: leave out --{field}"
                )
        return None, None
    environment = run.config.environment
    text = environment.opponent if config.opponent is None else config.opponent
    player = open_opponent(text, game, config.opponent_simulations, environment, config.seed)
    deterministic = player.learner_step is not None or player.engine is not None
    moves = int(deterministic) if config.opening_moves is None else config.opening_moves
    return player, moves


def _make_environment(
    run: StoredRun,
    config: EvaluationConfig,
    opponent: Player | None,
    opening_moves: int | None,
) -> VectorEnvironment:
    num_envs = min(config.num_envs, config.episodes)
    memory = RequiredMemory(run.experiment, run.environment_spec)
    memory.check_acting(num_envs, "lower --num_envs, --simulations or --trees", evaluation=True)
    if opponent is None:
        return run.experiment.environment_factory(config.seed, num_envs, True)
    assert opponent.make is not None
    rules = rules_with_opening(run.config.environment.game, opening_moves or 0)
    if run.config.environment.positions:
        rules = rules.with_positions()
    functions = match(rules, num_envs, opponent.make(opponent.params))
    return MatchEnvironment(functions, config.seed, True)


def _human_normalised(environment: Any, mean: float) -> float | None:
    if isinstance(environment, AtariConfig) and environment.game in ATARI_57:
        return human_normalised_score(environment.game, mean)
    return None


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the evaluation as one JSON object.

    `ci95` is the 95 % percentile bootstrap interval of the mean, stratified over the seats.
    """
    run, statistics = evaluation.run, dataclasses.asdict(evaluation.statistics)
    found = {
        "workdir": str(run.workdir),
        "environment": environment_name(run),
        "checkpoint": int(run.params.learner_steps),
        "actor_steps": run.counts.get("actor_steps"),
        "simulations": simulations_of(run),
        "temperature": temperature_of(run),
        "symmetries": averages_symmetries(run),
        "reuse_tree": reuses_trees(run),
        "trees": trees_of(run),
        "opponent": None if evaluation.opponent is None else evaluation.opponent.name,
        "episodes": len(evaluation.results),
        "cut_off_episodes": evaluation.cut_off,
        "seed": evaluation.seed,
        **statistics,
        "ci95_of": "mean",
    }
    if evaluation.opponent is not None:
        found["opponent_simulations"] = evaluation.opponent.simulations
        found |= dataclasses.asdict(evaluation.record())
        found["opening_moves"] = evaluation.opening_moves
        found["by_seat"] = {
            name: dataclasses.asdict(evaluation.record(seat)) for seat, name in enumerate(SEATS)
        }
    found |= task_returns(run.experiment.environment_factory, evaluation.results)
    if evaluation.human_normalised is not None:
        found["human_normalised"] = evaluation.human_normalised
    return found


def environment_name(run: StoredRun) -> str:
    """Returns the name of a run's environment."""
    environment = run.config.environment
    for field in ("game", "env", "task"):
        if isinstance(name := getattr(environment, field, None), str):
            return name
    return type(environment).__name__.removesuffix("Config")
