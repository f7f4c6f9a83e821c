"""Baselines of 2048, and the shares of tiles."""

import functools

import numpy as np
import pytest

pytest.importorskip("pgx")

import jax
import jax.numpy as jnp

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.evaluation.tiles import choose, play, read_games, shares


def position_of(rules, board):
    """A position with this board of exponents."""
    position = jax.jit(rules.init)(jax.random.PRNGKey(0)[None])
    board = jnp.asarray(board, jnp.int32).reshape(1, 16)
    return position.replace(_board=board, legal_action_mask=jnp.array([[True, True, True, False]]))


def test_greedy_players_take_what_is_best_at_once():
    rules = load_rules("2048", max_steps=None)
    # Left or right merges two tiles of 16; up merges two pairs of low ones, which empties more.
    board = [[1, 2, 0, 0], [1, 2, 0, 0], [4, 4, 0, 0], [0, 0, 0, 0]]
    position = position_of(rules, board)
    left, up, right = 0, 1, 2
    keys = [jax.random.PRNGKey(seed) for seed in range(12)]
    found = {}
    for player in ("random", "greedy_score", "greedy_empty"):
        chosen = jax.jit(functools.partial(choose, player, rules))
        found[player] = {int(chosen(position, key)[0]) for key in keys}
    assert found == {
        "random": {left, up, right},
        "greedy_score": {left, right},
        "greedy_empty": {up},
    }


def test_a_result_names_the_highest_tile():
    environment = PgxConfig("2048").make_factory()(0, 2, True)
    timestep = environment.reset()
    random, results = np.random.default_rng(0), []
    while not results:
        legal = timestep.observation.legal_actions
        before = np.asarray(timestep.observation.features)
        timestep = environment.step(np.where(legal, random.random(legal.shape), -1).argmax(-1))
        results = environment.finished_episodes()
    (result,) = results[:1]
    seen = before[result.environment].argmax(-1).max()
    # The last move may have merged two of the highest.
    assert result.milestone in (2**seen, 2 ** (seen + 1)) and result.milestone >= 16


def test_tiles_are_counted_from_the_episodes_of_an_evaluation(tmp_path):
    path = tmp_path / "episodes.csv"
    path.write_text("episode,episode_return,milestone\n0,9000,512\n1,60000,4096\n2,500,64\n")
    games = read_games(path)
    assert games.scores.tolist() == [9000, 60000, 500]
    third = 1 / 3
    assert shares(games.highest_tiles) == {512: 2 / 3, 1024: third, 2048: third, 4096: third}
    with pytest.raises(UserError, match="there is no file"):
        read_games(tmp_path / "none.csv")
    path.write_text("episode,episode_return\n0,1\n")
    with pytest.raises(UserError, match="no column 'milestone'"):
        read_games(path)
    for text in (b"episode,episode_return,milestone\n0,many,512\n", b"milestone\n512\n", b"\xff\n"):
        path.write_bytes(text)
        with pytest.raises(UserError, match="is no CSV of an evaluation"):
            read_games(path)


def test_games_that_do_not_fit_into_memory_are_not_begun():
    with pytest.raises(UserError, match="playing .* games side by side needs .* lower --games"):
        play("random", 10**18, seed=0)
