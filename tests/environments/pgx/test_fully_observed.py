"""Rebuilt positions and mirror images against the games of pgx."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.fully_observed import (
    FULLY_OBSERVED_GAMES,
    check_fully_observed,
    rebuild_positions,
)
from mukoe.environments.pgx.openings import with_random_opening
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError


def positions_of(game, count=1_000):
    """Returns the rules, and positions from all stages of random games."""
    rules = load_rules(game, None)
    # Moves that would end a game are skipped, so that filling a board takes more moves.
    init = jax.jit(with_random_opening(rules, 2 * FULLY_OBSERVED_GAMES[game].max_moves).init)
    return rules, init(jax.random.split(jax.random.PRNGKey(0), count))


def legal_move(positions, key):
    logits = jnp.where(positions.legal_action_mask, 0.0, -jnp.inf)
    return jax.random.categorical(key, logits)


@pytest.mark.parametrize("game", FULLY_OBSERVED_GAMES)
def test_a_rebuilt_position_continues_like_the_game(game):
    rules, positions = positions_of(game)
    keys = jax.random.split(jax.random.PRNGKey(1), len(positions.terminated))
    action = legal_move(positions, jax.random.PRNGKey(2))

    @jax.jit
    def compare(positions):
        rebuilt = rebuild_positions(rules, positions.observation)
        return rebuilt, rules.step(rebuilt, action, keys), rules.step(positions, action, keys)

    rebuilt, after, expected = compare(positions)
    np.testing.assert_array_equal(rebuilt.legal_action_mask, positions.legal_action_mask)
    np.testing.assert_array_equal(rebuilt._step_count, positions._step_count)
    for field in ("observation", "legal_action_mask", "terminated", "_step_count"):
        np.testing.assert_array_equal(getattr(after, field), getattr(expected, field))
    mover = np.asarray(positions.current_player)
    rewards = np.asarray(expected.rewards)[np.arange(len(mover)), mover]
    np.testing.assert_array_equal(after.rewards[:, 0], rewards)
    assert {0.0, 1.0} <= set(rewards), "no game ended, or all did"
    assert np.asarray(expected.terminated).sum() > (rewards > 0).sum(), "no game was drawn"


@pytest.mark.parametrize("game", FULLY_OBSERVED_GAMES)
def test_no_game_is_longer_than_the_longest(game):
    spec = load_rules(game, None).spec.observations.features
    assert FULLY_OBSERVED_GAMES[game].max_moves == spec.shape[0] * spec.shape[1]


@pytest.mark.parametrize("game", FULLY_OBSERVED_GAMES)
def test_the_mirrored_move_in_the_mirrored_position_leads_to_the_mirror(game):
    rules, positions = positions_of(game)
    keys = jax.random.split(jax.random.PRNGKey(1), len(positions.terminated))
    action = legal_move(positions, jax.random.PRNGKey(3))
    mirrored_actions = np.array(FULLY_OBSERVED_GAMES[game].mirrored_actions)

    @jax.jit
    def step(features, action):
        return rules.step(rebuild_positions(rules, features), action, keys)

    after = step(positions.observation, action)
    mirrored = step(positions.observation[:, :, ::-1], mirrored_actions[action])
    np.testing.assert_array_equal(mirrored.observation, after.observation[:, :, ::-1])
    np.testing.assert_array_equal(mirrored.rewards, after.rewards)
    np.testing.assert_array_equal(
        mirrored.legal_action_mask, after.legal_action_mask[:, mirrored_actions]
    )


def test_a_partially_observed_game_is_rejected_by_name():
    with pytest.raises(UserError, match="'go_9x9' cannot be rebuilt.*tic_tac_toe, connect_four"):
        check_fully_observed("go_9x9")
