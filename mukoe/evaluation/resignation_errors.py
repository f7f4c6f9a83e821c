"""Errors of resignation: self-play games that are played out, and games given up in them."""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from msgspec import Meta

from mukoe.configuration.bounds import PositiveInt, Seed
from mukoe.configuration.fields import Validated
from mukoe.environments.pgx.games import MAX_OPENING_MOVES
from mukoe.environments.pgx.resignation import Resignation
from mukoe.environments.pgx.rules import GameState, Rules, player_rewards
from mukoe.errors import UserError
from mukoe.evaluation.players import (
    agent_opponent,
    rules_with_opening,
    simulations_of,
    two_player_game,
)
from mukoe.evaluation.tables import text_table
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.types import Array, Nest, PolicyParams

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Thresholds of the table."""

_BATCH = 32
# Share of wrongly resigned games that AlphaGo Zero allows (Silver et al. 2017).
_ALLOWED = 0.05


@dataclasses.dataclass(frozen=True)
class ResignationConfig(Validated):
    """Settings of a measurement."""

    # Games of self-play.
    games: PositiveInt = 200
    # Random opening moves of each side. The agent does not explore, so that the openings alone
    # make games differ.
    opening_moves: Annotated[int, Meta(ge=0, le=MAX_OPENING_MOVES)] = 2
    # n: number of successive own moves with a value below the threshold.
    resign_moves: PositiveInt = 3
    # Seed of openings and agent.
    seed: Seed = 0


class PlayedOut(NamedTuple):
    """Self-play games to their ends by the rules.

    values: `[P, G]` search values of the player to move; NaN after the end.
    outcomes: `[G]` returns of the player who moves first.
    """

    values: np.ndarray
    outcomes: np.ndarray


class ResignationErrors(NamedTuple):
    """Games that a threshold gives up.

    threshold: t of the rule.
    games: number of games.
    resigned: number of games in which a player resigns.
    not_lost: number of these that the player who resigns wins or draws when it plays on.
    low, high: ends of the 95 % interval of their share.
    saved: share of all moves that are not played.
    """

    threshold: float
    games: int
    resigned: int
    not_lost: int
    low: float
    high: float
    saved: float


def measure_resignation(
    run: StoredRun, config: ResignationConfig, on_game: Callable[[int], object]
) -> list[ResignationErrors]:
    """Plays games of an agent against itself, and returns the errors of each threshold.

    Args:
      run: run of an agent that searches, in a game of two players.
      config: settings.
      on_game: function that is called with the number of games of each finished batch.

    Raises:
      UserError: the run has no game of two players, or its agent does not search.
    """
    game = two_player_game(run)
    if game is None or simulations_of(run) is None:
        raise UserError("resignation needs an agent that searches, in a game of two players")
    rules = rules_with_opening(game, config.opening_moves)
    make = functools.partial(agent_opponent, run.make_policy())
    size = min(_BATCH, config.games)
    advance = jax.jit(functools.partial(_advance, rules, make))
    key, batches = jax.random.PRNGKey(config.seed), []
    for start in range(0, config.games, size):
        batch_key = jax.random.fold_in(key, start)
        memory = make(run.params).initial_state(size)
        batches.append(_play_out(rules, advance, run.params, memory, batch_key, size))
        on_game(min(size, config.games - start))
    played = _different(batches, config.games)
    return [
        resignation_errors(played, Resignation(threshold, config.resign_moves))
        for threshold in THRESHOLDS
    ]


def _advance(
    rules: Rules,
    make: Callable[[PolicyParams], Any],
    params: PolicyParams,
    key: chex.PRNGKey,
    position: GameState,
    memories: tuple[Nest, Nest],
    ply: jax.Array,
) -> tuple[GameState, tuple[Nest, Nest], jax.Array, jax.Array]:
    """Plays a move; the first one of the memories is that of the player to move."""
    act_key, step_key = jax.random.split(key)
    size = position.terminated.shape[0]
    is_first = jnp.broadcast_to(ply < 2, (size,))
    observation = rules.observe(position)
    action, value, memory = make(params).act_with_value(
        act_key, position, observation, memories[0], is_first
    )
    over = position.terminated | position.truncated
    after = rules.step(position, action, jax.random.split(step_key, size))
    moved = jnp.where(over, -1, action), jnp.where(over, jnp.nan, value)
    return after, (memories[1], memory), *moved


def _play_out(
    rules: Rules,
    advance: Callable,
    params: PolicyParams,
    memory: Nest,
    key: chex.PRNGKey,
    size: int,
) -> tuple[PlayedOut, list[bytes]]:
    """Plays a batch of games; returns them, and for each one bytes of its opening and moves."""
    position = jax.jit(rules.init)(jax.random.split(key, size))
    first, memories = position.current_player, (memory, memory)
    opening = np.asarray(position.observation)
    actions: list[Array] = []
    values: list[Array] = []
    outcomes = np.zeros(size)
    while not np.all(position.terminated | position.truncated):
        ply = len(actions)
        position, memories, action, value = advance(
            params, jax.random.fold_in(key, ply), position, memories, ply
        )
        actions.append(action)
        values.append(value)
        # A finished game has no further rewards.
        outcomes += np.asarray(player_rewards(position, first))
    moves = np.array(actions)
    names = [opening[game].tobytes() + moves[:, game].tobytes() for game in range(size)]
    return PlayedOut(np.array(values), outcomes), names


def _different(batches: Sequence[tuple[PlayedOut, list[bytes]]], games: int) -> PlayedOut:
    """Returns the different games among the first `games` ones of all batches."""
    plies = max(len(played.values) for played, _ in batches)
    values = np.concatenate(
        [
            np.pad(played.values, ((0, plies - len(played.values)), (0, 0)), constant_values=np.nan)
            for played, _ in batches
        ],
        axis=1,
    )
    outcomes = np.concatenate([played.outcomes for played, _ in batches])
    names = [name.rstrip(b"\xff") for _, batch in batches for name in batch][:games]
    kept = list({name: index for index, name in reversed(list(enumerate(names)))}.values())
    return PlayedOut(values[:, kept], outcomes[kept])


def resignation_errors(played: PlayedOut, rule: Resignation) -> ResignationErrors:
    """Returns the errors of a rule in games that were played out."""
    plies, games = played.values.shape
    counts, resigned_at = np.zeros((2, games), int), np.full(games, plies)
    for ply, values in enumerate(played.values):
        seat = ply % 2
        counts[seat] = rule.count(values, counts[seat])
        resigned_at = np.where(rule.is_due(counts[seat]), np.minimum(resigned_at, ply), resigned_at)
    resigned = resigned_at < plies
    own_outcomes = np.where(resigned_at % 2 == 0, played.outcomes, -played.outcomes)
    lengths = np.isfinite(played.values).sum(axis=0)
    saved = np.where(resigned, lengths - resigned_at, 0).sum() / lengths.sum()
    count, not_lost = int(resigned.sum()), int((resigned & (own_outcomes >= 0)).sum())
    low, high = wilson_interval(not_lost, count)
    return ResignationErrors(
        rule.resign_below, games, count, not_lost, low, high, saved=float(saved)
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Returns the 95 % score interval of a probability (Wilson 1927); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    z, share = statistics.NormalDist().inv_cdf(0.975), successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    spread = z * ((share * (1 - share) + z**2 / (4 * trials)) / trials) ** 0.5
    spread /= 1 + z**2 / trials
    return max(0.0, centre - spread), min(1.0, centre + spread)


def resignation_table(rows: Sequence[ResignationErrors]) -> str:
    """Returns the table of thresholds and the lowest one whose errors are rare."""
    header = ["--resign_below", "games", "resigned", "not lost of these", "95 %", "moves saved"]
    lines = [
        [
            f"{row.threshold:g}",
            str(row.games),
            f"{row.resigned} ({row.resigned / row.games:.1%})",
            f"{row.not_lost} ({row.not_lost / row.resigned:.1%})" if row.resigned else "-",
            f"{row.low:.1%} to {row.high:.1%}" if row.resigned else "-",
            f"{row.saved:.1%}",
        ]
        for row in rows
    ]
    rare = [row for row in rows if row.high <= _ALLOWED]
    advice = (
        f"lowest threshold with at most {_ALLOWED:.0%} of the resigned games not lost: "
        f"--resign_below={rare[0].threshold:g}"
        if rare
        else f"no threshold has at most {_ALLOWED:.0%} of the resigned games not lost, beyond "
        "chance: play more --games"
    )
    return f"{text_table(header, lines)}\n{advice}"
