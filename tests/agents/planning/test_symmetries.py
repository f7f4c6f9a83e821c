"""Means over the symmetries of a board: the policy of an image is the image of the policy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.environments.board_symmetries import board_symmetries
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig
from mukoe.types import PolicyParams

RULES = load_rules("tic_tac_toe", None).with_positions()
SYMMETRIES = board_symmetries(RULES.spec)
PLIES = 4
# Every legal action once: a search without ties.
EVERY_ACTION = 9 - PLIES


def agent(name, search):
    if name == "alphazero":
        network = AlphaZeroNetworkConfig(width=8, blocks=1, head_channels=2, head_sizes=(8,))
        return AlphaZeroConfig(game="tic_tac_toe", network=network, search=search)
    network = NetworkConfig(torso="board", width=8, representation_blocks=1, dynamics_blocks=1)
    return MuZeroConfig(network=network, discount=1.0, search=search)


def observations():
    """Returns observations `[16, ...]` after random moves, and those of their images."""
    keys = jax.random.split(jax.random.PRNGKey(1), 16)
    step = jax.jit(RULES.step)
    position = RULES.init(keys)
    images = [position for _ in SYMMETRIES]
    for ply in range(PLIES):
        logits = jnp.where(position.legal_action_mask, 0.0, -jnp.inf)
        action = jax.random.categorical(jax.random.PRNGKey(ply), logits)
        position = step(position, action, keys)
        images = [
            step(image, jnp.array(symmetry.actions)[action], keys)
            for image, symmetry in zip(images, SYMMETRIES, strict=True)
        ]
    return [RULES.observe(image) for image in images]


def drawn(leaf):
    """Returns random parameters, since the last layers of a new network are 0."""
    return jax.random.normal(jax.random.PRNGKey(leaf.size), leaf.shape) / np.sqrt(leaf.shape[0])


def decisions(name, simulations, averaged):
    """Returns policies `[8, 16, A]` and values `[8, 16]` at all images, as seen on the board."""
    search = SearchConfig(
        algorithm="gumbel", num_simulations=simulations, evaluation_symmetries=averaged
    )
    builder = agent(name, search).make_builder()
    networks = builder.make_networks(RULES.spec)
    network = jax.tree.map(drawn, networks.init(jax.random.PRNGKey(0)))
    params = PolicyParams(network, jnp.int32(0))
    policy = builder.make_policy(networks, RULES.spec, evaluation=True)
    apply = jax.jit(policy.apply)
    policies, values = [], []
    for symmetry, observation in zip(SYMMETRIES, observations(), strict=True):
        state = policy.initial_state(16)
        _, extras, _ = apply(params, jax.random.PRNGKey(0), observation, state)
        policies.append(extras["search_policy"][:, np.array(symmetry.actions)])
        values.append(extras["search_value"])
    return np.array(policies), np.array(values)


@pytest.mark.parametrize(
    ("name", "simulations"), [("alphazero", 0), ("alphazero", EVERY_ACTION), ("muzero", 0)]
)
def test_the_policy_of_an_image_is_the_image_of_the_policy(name, simulations):
    policies, values = decisions(name, simulations, averaged=True)
    np.testing.assert_allclose(policies, np.broadcast_to(policies[:1], policies.shape), atol=1e-5)
    np.testing.assert_allclose(values, np.broadcast_to(values[:1], values.shape), atol=1e-5)
    assert np.ptp(values[0]) > 0.01, "all positions have one value"
    single, single_values = decisions(name, simulations, averaged=False)
    assert np.abs(single - single[:1]).max() > 0.01
    if simulations == 0:
        # Priors are averaged before illegal actions are masked.
        legal = single[0] > 0
        np.testing.assert_allclose(policies[0] > 0, legal)
        np.testing.assert_allclose(values[0], single_values.mean(axis=0), atol=1e-5)


def test_games_and_inputs_without_symmetries_are_refused():
    averaged = SearchConfig(evaluation_symmetries=True)
    chess = AlphaZeroConfig(game="gardner_chess", search=averaged).make_builder()
    spec = load_rules("gardner_chess", None).with_positions().spec
    with pytest.raises(UserError, match="needs a game with symmetries of the board"):
        chess.make_policy(chess.make_networks(spec), spec)
    history = HistoryConfig(frames=2, action_planes=True)
    config = dataclasses.replace(agent("muzero", averaged), history=history)
    builder = config.make_builder()
    with pytest.raises(UserError, match="whose input is the board alone"):
        builder.make_policy(builder.make_networks(RULES.spec), RULES.spec)
