"""Backgammon with alternating turns, against Backgammon of pgx."""

import jax
import numpy as np
import pytest

pytest.importorskip("pgx")

import pgx

from mukoe.environments.pgx.alternation import PASS
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.rules import load_rules
from mukoe.nests import tree_where


def test_turns_alternate_and_the_game_is_that_of_pgx():
    """Random moves in both implementations; those of pgx have no waiting player."""
    rules = load_rules("backgammon", max_steps=None)
    games = 4
    step = jax.jit(rules.step)
    inner_step = jax.jit(jax.vmap(pgx.make("backgammon").step))
    random = np.random.default_rng(0)
    keys = jax.random.split(jax.random.PRNGKey(0), games)
    position = jax.jit(rules.init)(keys)
    inner = position.inner
    waited = 0
    for count in range(60):
        legal = np.asarray(position.legal_action_mask)
        waits = np.asarray(position.waits)
        waited += waits.sum()
        np.testing.assert_array_equal(legal[waits].sum(-1), 1)
        assert legal[waits][:, PASS].all()
        action = np.where(legal, random.random(legal.shape), -1).argmax(-1)
        keys = jax.random.split(jax.random.PRNGKey(count + 1), games)
        moved = inner_step(inner, action, keys)
        inner = tree_where(waits, inner, moved)
        before = np.asarray(position.current_player)
        position = step(position, action, keys)
        # Every action passes the turn, including that of the waiting player.
        np.testing.assert_array_equal(position.current_player, 1 - before)
        np.testing.assert_array_equal(position.inner._board, inner._board)
        whose = np.where(position.waits, 1 - position.current_player, position.current_player)
        np.testing.assert_array_equal(whose, inner.current_player)
        # The waiting player observes the dice of the other player, negated.
        dice = np.asarray(position.observation)[:, 28:]
        signs = np.where(position.waits, -1, 1)
        np.testing.assert_array_equal(dice * signs[:, None], np.asarray(inner.observation)[:, 28:])
    assert waited > 20


def test_self_play_changes_the_sign_with_every_step():
    environment = PgxConfig("backgammon").make_factory()(0, 2, False)
    assert environment.spec.observations.features.shape == (34,)
    assert environment.spec.observations.features.dtype == np.int32
    timestep = environment.reset()
    for _ in range(5):
        action = timestep.observation.legal_actions.argmax(-1)
        timestep = environment.step(action.astype(np.int32))
        assert timestep.discount.tolist() == [-1.0, -1.0]
    assert "points" in environment.render_text()
    assert environment.render().shape[-1] == 3
