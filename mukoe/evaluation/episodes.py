"""An agent of a run plays episodes, and what they say about it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import numpy as np
from msgspec import Meta

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.variables import VariableClient
from mukoe.configuration.bounds import NonNegativeInt, PositiveInt, Seed
from mukoe.configuration.fields import Validated
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.scores import ATARI_57, human_normalised_score
from mukoe.environments.pgx.environment import MatchEnvironment
from mukoe.environments.pgx.match import match
from mukoe.environments.pgx.openings import MAX_OPENING_MOVES
from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.evaluation.players import (
    Player,
    open_opponent,
    rules_with_opening,
    simulations_of,
    two_player_game,
)
from mukoe.evaluation.scores import ScoreStatistics, score_statistics
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.types import EpisodeResult, PolicyParams

SEATS = ("first", "second")
"""Names of the seats of a match: who moves first, who moves second."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Validated):
    """How an agent is evaluated."""

    # Episodes that are played.
    episodes: PositiveInt = 100
    # Environments that are stepped together.
    num_envs: PositiveInt = 32
    # Environments, opponents and the bootstrap follow from it.
    seed: Seed = 0
    # Whom two-player games are played against: 'random', 'exact', 'rollout' or a run; None for
    # the opponent that the run's config names.
    opponent: str | None = None
    # Simulations per move of the opponent; None for what its config says.
    opponent_simulations: NonNegativeInt | None = None
    # Random moves with which each side begins; None for 1 against the agent of a run and 0
    # against the others, who do not always play the same.
    opening_moves: Annotated[int, Meta(ge=0, le=MAX_OPENING_MOVES)] | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """Results of games."""

    wins: int
    draws: int
    losses: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was played, and how it went.

    run: whose agent played.
    results: of the episodes.
    statistics: of the episodes' returns; intervals are stratified over the seats.
    seed: of the evaluation.
    opponent: of two-player games, else None.
    opening_moves: random moves that each side began with; None without opponent.
    human_normalised: the mean return on the scale of random play (0) and a human (1); None
        where no human's score is known.
    """

    run: StoredRun
    results: Sequence[EpisodeResult]
    statistics: ScoreStatistics
    seed: int
    opponent: Player | None = None
    opening_moves: int | None = None
    human_normalised: float | None = None

    def record(self, seat: int | None = None) -> Record:
        """Wins, draws and losses, of all games or of those in one seat."""
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
      run: whose agent plays.
      config: how.
      on_result: told each result as it comes.

    Raises:
      UserError: the opponent does not fit the game.
    """
    opponent, opening_moves = _find_opponent(run, config)
    environment = _make_environment(run, config, opponent, opening_moves)
    builder = run.experiment.builder
    actor = builder.make_actor(
        jax.random.PRNGKey(config.seed),
        run.make_policy(),
        run.environment_spec,
        VariableClient(_Stored(run.params), period_updates=0),
        num_envs=environment.num_envs,
    )
    loop = EnvironmentLoop(environment, actor)
    results = loop.run_episodes(config.episodes, on_result=on_result)
    environment.close()
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
    )


@dataclasses.dataclass(frozen=True)
class _Stored:
    """Parameters that do not change, as a variable source."""

    params: PolicyParams

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        del names
        return [self.params]


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
    player = open_opponent(text, game, config.opponent_simulations, environment)
    is_agent = player.learner_step is not None
    moves = int(is_agent) if config.opening_moves is None else config.opening_moves
    return player, moves


def _make_environment(
    run: StoredRun,
    config: EvaluationConfig,
    opponent: Player | None,
    opening_moves: int | None,
) -> VectorEnvironment:
    num_envs = min(config.num_envs, config.episodes)
    memory = RequiredMemory(run.experiment, run.environment_spec)
    memory.check_acting(num_envs, "lower --num_envs or --simulations")
    if opponent is None:
        return run.experiment.environment_factory(config.seed, num_envs, True)
    rules = rules_with_opening(run.config.environment.game, opening_moves or 0)
    functions = match(rules, num_envs, opponent.make(opponent.params))
    return MatchEnvironment(functions, config.seed, True)


def _human_normalised(environment: Any, mean: float) -> float | None:
    if isinstance(environment, AtariConfig) and environment.game in ATARI_57:
        return human_normalised_score(environment.game, mean)
    return None


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as one JSON object.

    `ci95` is the 95 % percentile bootstrap interval of the mean, stratified over the seats.
    """
    run, statistics = evaluation.run, dataclasses.asdict(evaluation.statistics)
    found = {
        "workdir": str(run.workdir),
        "environment": environment_name(run),
        "checkpoint": int(run.params.learner_steps),
        "actor_steps": run.counts.get("actor_steps"),
        "simulations": simulations_of(run),
        "opponent": None if evaluation.opponent is None else evaluation.opponent.name,
        "episodes": len(evaluation.results),
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
    if evaluation.human_normalised is not None:
        found["human_normalised"] = evaluation.human_normalised
    return found


def environment_name(run: StoredRun) -> str:
    """The name of a run's environment."""
    environment = run.config.environment
    for field in ("game", "env"):
        if isinstance(name := getattr(environment, field, None), str):
            return name
    return type(environment).__name__
