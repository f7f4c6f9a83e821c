"""Environments and opponents for the tests of pgx games."""

import numpy as np

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.opponents import Opponent

FIRST, MID, LAST = 0, 1, 2


def self_play(game, num_envs=1, seed=0, **kwargs):
    return PgxConfig(game, **kwargs).make_factory()(seed, num_envs, False)


def matches(game, num_envs=1, seed=0, **kwargs):
    return PgxConfig(game, **kwargs).make_factory()(seed, num_envs, True)


def random_actions(random, timestep):
    noise = random.random(timestep.observation.legal_actions.shape)
    return np.where(timestep.observation.legal_actions, noise, -1).argmax(-1)


def lowest_legal(key, game, observation, state, is_first):
    del key, game, is_first
    return observation.legal_actions.argmax(-1).astype(np.int32), state


LOWEST = Opponent(lambda batch_size: (), lowest_legal)
"""Opponent that plays the legal action with the lowest number."""


def planes(own, other):
    """Returns the features `[3, 3, 2]` of tic-tac-toe with these cells."""
    features = np.zeros((9, 2), bool)
    features[own, 0] = True
    features[other, 1] = True
    return features.reshape(3, 3, 2)
