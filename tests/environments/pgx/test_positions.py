"""True states as bytes, counts of positions through them, and games of other sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.games import PGX_GAMES, check_searchable, is_searchable
from mukoe.environments.pgx.openings import with_random_opening
from mukoe.environments.pgx.positions import pack_position
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.types import plays_in_turns, without_position

_BATCH = 256


def count_games(game, plies):
    """Returns the number of games of each length, and of those of each length that go on.

    Every move is made through the bytes of a position, as a search makes it.
    """
    rules = load_rules(game, None).with_positions()

    @jax.jit
    def step(packed, action):
        keys = jnp.zeros((_BATCH, 2), jnp.uint32)
        after = rules.step(rules.unpack(packed), action, keys)
        return pack_position(after), after.terminated, after.legal_action_mask

    start = rules.init(jax.random.split(jax.random.PRNGKey(0), 1))
    observation = rules.observe(start)
    packed, legal = np.asarray(observation.position), np.asarray(observation.legal_actions)
    weights, ended, going = np.ones(1, np.int64), [], []
    for _ in range(plies):
        parents, actions = np.nonzero(legal)
        parts = []
        for first in range(0, len(actions), _BATCH):
            # The last batch is filled up by repetition.
            chosen = np.resize(np.arange(first, min(first + _BATCH, len(actions))), _BATCH)
            parts.append(step(packed[parents[chosen]], actions[chosen].astype(np.int32)))
        after, over, masks = (
            np.concatenate(part)[: len(actions)] for part in zip(*parts, strict=True)
        )
        numbers = weights[parents]
        ended.append(int(numbers[over].sum()))
        going.append(int(numbers[~over].sum()))
        # Equal positions are continued once.
        packed, index, inverse = np.unique(
            after[~over], axis=0, return_index=True, return_inverse=True
        )
        legal = masks[~over][index]
        weights = np.bincount(inverse.ravel(), numbers[~over], len(packed)).astype(np.int64)
    return ended, going


def test_tic_tac_toe_has_255168_games():
    ended, going = count_games("tic_tac_toe", 9)
    assert going[:4] == [9, 72, 504, 3024] and going[-1] == 0
    assert ended == [0, 0, 0, 0, 1440, 5328, 47952, 72576, 127872]
    assert sum(ended) == 255_168


def test_othello_has_the_known_numbers_of_games():
    assert count_games("othello", 4)[1] == [4, 12, 56, 244]


@pytest.mark.slow
def test_chess_has_the_known_numbers_of_games():
    assert count_games("chess", 2)[1] == [20, 400]


@pytest.mark.parametrize("game", ["connect_four", "othello", "go_4x4", "hex_4x4"])
def test_bytes_hold_the_whole_position(game):
    rules = with_random_opening(load_rules(game, None), 12)
    positions = jax.jit(rules.init)(jax.random.split(jax.random.PRNGKey(1), 32))
    packed = pack_position(positions)
    assert packed.dtype == np.uint8 and packed.shape == (32, *rules.position.shape)
    unpacked = rules.unpack(packed)
    kept = positions.replace(observation=jnp.zeros_like(positions.observation))
    jax.tree.map(np.testing.assert_array_equal, unpacked, kept)
    assert jax.tree.structure(unpacked) == jax.tree.structure(positions)
    assert len(np.unique(np.asarray(packed), axis=0)) > 20


def test_observations_carry_the_position_if_asked_to():
    plain, carrying = PgxConfig("hex_4x4"), PgxConfig("hex_4x4").with_positions()
    for evaluation in (False, True):
        without, environment = (
            config.make_factory()(0, 2, evaluation) for config in (plain, carrying)
        )
        expected, timestep = without.reset(), environment.reset()
        assert timestep.observation.position.shape == (
            2,
            *environment.spec.observations.position.shape,
        )
        jax.tree.map(
            np.testing.assert_array_equal,
            without_position(timestep.observation),
            expected.observation,
        )
        assert without_position(environment.spec.observations) == without.spec.observations


@pytest.mark.parametrize("size", [3, 4, 5])
def test_hex_of_any_size_has_one_winner(size):
    rules = load_rules(f"hex_{size}x{size}", None)
    keys = jax.random.split(jax.random.PRNGKey(2), 64)

    def move(position, key):
        logits = jnp.where(position.legal_action_mask, 0.0, -jnp.inf)
        after = rules.step(position, jax.random.categorical(key, logits), keys)
        return after, after.rewards

    start = rules.init(keys)
    assert start.legal_action_mask.shape == (64, size**2 + 1)
    assert start.observation.shape == (64, size, size, 4)
    moves = PGX_GAMES[rules.name].max_moves
    end, rewards = jax.jit(
        functools.partial(jax.lax.scan, move, xs=jax.random.split(keys[0], moves))
    )(start)
    assert np.asarray(end.terminated).all()
    np.testing.assert_array_equal(np.sort(rewards.sum(0), axis=-1), [[-1, 1]] * 64)


def test_games_of_chance_are_refused_by_name():
    chance = {name for name in PGX_GAMES if not is_searchable(name)}
    assert chance == {"backgammon"} | {n for n in PGX_GAMES if n.startswith("minatar")}
    with pytest.raises(UserError, match=r"'backgammon' has moves of chance.*Stochastic MuZero"):
        check_searchable("backgammon")
    with pytest.raises(UserError, match="'backgammon' has moves of chance"):
        PgxConfig("backgammon", positions=True)
    with pytest.raises(UserError, match="rules of 'poker'; games of pgx: tic_tac_toe"):
        check_searchable("poker")


def test_players_take_turns_in_every_searchable_game():
    for game in ("go_5x5", "hex_5x5", "othello"):
        assert plays_in_turns(load_rules(game, None).spec)
