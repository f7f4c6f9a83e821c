"""2048: baseline players, and the tiles reached in games."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.environments.pgx.rules import GameState, Rules, load_rules
from mukoe.errors import UserError
from mukoe.system import check_fits

PLAYERS = ("random", "greedy_score", "greedy_empty")
"""Baselines. `random`: uniform over the legal moves. `greedy_score`: the move with the highest
immediate score. `greedy_empty`: the move that leaves the most cells empty, then the highest
score. Ties are broken at random."""

TILES = (512, 1024, 2048, 4096)
"""Tiles whose shares are reported."""

# Size of an observation: one of 31 tiles in each of 4 x 4 cells.
_GAME_BYTES = 16 * 31


class Games(NamedTuple):
    """Finished games.

    scores: `[N]` final scores.
    highest_tiles: `[N]` highest tiles.
    """

    scores: np.ndarray
    highest_tiles: np.ndarray


def play(player: str, games: int, seed: int) -> Games:
    """Plays complete games in one batch.

    Args:
      player: one of `PLAYERS`.
      games: number of games, `N`.
      seed: seed of the games and of the player.

    Raises:
      UserError: there is no such player, or pgx is not installed.
    """
    if player not in PLAYERS:
        raise UserError(f"unknown player '{player}'; known are {', '.join(PLAYERS)}")
    rules = load_rules("2048", max_steps=None)
    check_fits(games * _GAME_BYTES, f"playing {games} games side by side", "lower --games")

    def step(carry: tuple[chex.PRNGKey, GameState, jax.Array]):
        key, position, scores = carry
        key, choose_key, step_key = jax.random.split(key, 3)
        action = choose(player, rules, position, choose_key)
        position = rules.step(position, action, jax.random.split(step_key, games))
        return key, position, scores + position.rewards[:, 0]

    def run(key: chex.PRNGKey) -> tuple[jax.Array, jax.Array]:
        key, init_key = jax.random.split(key)
        position = rules.init(jax.random.split(init_key, games))
        _, position, scores = jax.lax.while_loop(
            lambda carry: ~jnp.all(carry[1].terminated), step, (key, position, jnp.zeros(games))
        )
        return scores, rules.milestone(position)

    return Games(*map(np.asarray, jax.jit(run)(jax.random.PRNGKey(seed))))


def choose(player: str, rules: Rules, position: GameState, key: chex.PRNGKey) -> jax.Array:
    """Returns the actions `[B]` of a baseline.

    Args:
      player: one of `PLAYERS`.
      rules: rules of 2048.
      position: `[B]` positions.
      key: PRNG key.
    """
    batch, num_actions = position.legal_action_mask.shape
    keys = jax.random.split(key, batch)

    def look(action: jax.Array) -> tuple[jax.Array, jax.Array]:
        after = rules.step(position, jnp.full(batch, action), keys)
        return after.rewards[:, 0], jnp.sum(after._board == 0, axis=-1)

    scores, empty = jax.vmap(look, out_axes=1)(jnp.arange(num_actions))
    worth = {
        "random": jnp.zeros_like(scores),
        "greedy_score": scores,
        # The score of a single move is below 1e6.
        "greedy_empty": empty + scores / 1e6,
    }[player]
    best = jnp.where(position.legal_action_mask, worth, -1.0)
    ties = best == jnp.max(best, axis=-1, keepdims=True)
    return jax.random.categorical(key, jnp.where(ties, 0.0, -jnp.inf))


def read_games(path: Path) -> Games:
    """Reads the CSV of an evaluation; see `mukoe.evaluation.evaluation_files.episodes_csv`.

    Raises:
      UserError: the file does not exist, or is not an evaluation on 2048.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; mukoe evaluate writes evaluation/*.csv")
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows or "milestone" not in rows[0]:
            raise UserError(f"{path} has no column 'milestone'; give the CSV of an evaluation")
        return Games(
            np.array([float(row["episode_return"]) for row in rows]),
            np.array([float(row["milestone"]) for row in rows]),
        )
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path} is no CSV of an evaluation: {error}") from error


def shares(highest_tiles: Sequence[float] | np.ndarray) -> dict[int, float]:
    """Returns the share of games that reached each of `TILES`."""
    return {tile: float(np.mean(np.asarray(highest_tiles) >= tile)) for tile in TILES}
