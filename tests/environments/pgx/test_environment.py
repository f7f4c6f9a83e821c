"""Vectors of pgx games: seeds, checks of actions, specs and renderings."""

import jax
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.errors import UserError
from mukoe.types import MaskedObservation, plays_in_turns
from tests.environments.pgx.games import matches, random_actions, self_play


def play(env, steps, seed=5):
    random, timesteps = np.random.default_rng(seed), [env.reset()]
    for _ in range(steps):
        timesteps.append(env.step(random_actions(random, timesteps[-1])))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *timesteps)


def equal(left, right):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    )


def test_games_are_a_function_of_the_seed():
    recorded = play(matches("tic_tac_toe", 4, seed=1), 30)
    assert equal(recorded, play(matches("tic_tac_toe", 4, seed=1), 30))
    assert not equal(recorded, play(matches("tic_tac_toe", 4, seed=2), 30))
    tiles = play(self_play("2048", 2, seed=1, max_steps=40), 10)
    assert equal(tiles, play(self_play("2048", 2, seed=1, max_steps=40), 10))
    assert not equal(tiles, play(self_play("2048", 2, seed=2, max_steps=40), 10))
    # Evaluation plays other games; so do the streams, however many there are.
    assert not equal(tiles, play(matches("2048", 2, seed=1, max_steps=40), 10))
    start = tiles.observation.features[0]
    assert not (start[0] == start[1]).all()
    longer = self_play("2048", 5, seed=1).reset().observation.features
    np.testing.assert_array_equal(longer[:2], start)


@pytest.mark.parametrize("action", [4, -1, 9])
def test_an_illegal_action_is_named(action):
    env = self_play("tic_tac_toe", num_envs=2)
    env.reset()
    env.step(np.array([0, 4]))
    with pytest.raises(
        UserError, match=rf"environment 1 .* action {action} is illegal.*0, 1, 2, 3"
    ):
        env.step(np.array([4, action]) if action == 4 else np.array([1, action]))
    # Nothing happened.
    assert env.step(np.array([4, 0])).observation.features.sum() == 4


def test_actions_must_be_integers_for_every_stream():
    env = self_play("tic_tac_toe", num_envs=2)
    env.reset()
    for actions in (np.array([1]), np.array([1.0, 2.0])):
        with pytest.raises(UserError, match="actions must be 2 integers"):
            env.step(actions)


@pytest.mark.parametrize("game", ["tic_tac_toe", "othello", "hex", "minatar-asterix"])
def test_observations_conform_to_the_spec_and_are_rendered(game):
    env = self_play(game, num_envs=2)
    spec, timestep = env.spec, env.reset()
    assert plays_in_turns(spec) == (PGX_GAMES[game].players == 2)
    assert plays_in_turns(spec) == (spec.discounts.minimum == -1)
    assert env.spec == matches(game).spec
    for _ in range(3):
        jax.tree.map(
            lambda leaf_spec, leaf: leaf_spec.validate(leaf[1]),
            spec.observations,
            timestep.observation,
        )
        if isinstance(timestep.observation, MaskedObservation):
            timestep = env.step(timestep.observation.legal_actions.argmax(-1))
        else:
            timestep = env.step(np.zeros(2, np.int32))
    picture = env.render(1)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) >= 2


def test_text_and_picture_show_the_stones():
    env = self_play("tic_tac_toe")
    empty = (env.reset(), env.render())[1]
    env.step(np.array([0]))
    assert env.render_text() == "    a b c\n  1 X . .\n  2 . . .\n  3 . . .\nO to move"
    changed = (env.render() != empty).any(-1)
    size = empty.shape[0] // 3
    assert changed[:size, :size].any()
    assert not changed[size + 3 :].any()
    for action in (3, 1, 4):
        env.step(np.array([action]))
    assert env.render_text() == "    a b c\n  1 X X .\n  2 O O .\n  3 . . .\nX to move"
    env.step(np.array([2]))
    assert env.render_text() == "    a b c\n  1 X X X\n  2 O O .\n  3 . . .\nX won"
