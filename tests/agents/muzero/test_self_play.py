"""MuZero on games of two players: the targets of whole games."""

import jax
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import VariableClient
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.agents.planning.targets import make_targets
from mukoe.environments.pgx.config import PgxConfig
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.config import NetworkConfig
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.search.config import SearchConfig

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


def won(own):
    """Returns whether the cells `[9]` of one player hold a line."""
    return any(own[list(line)].all() for line in LINES)


def outcome(own, other, actions):
    """1, 0 or -1 for the player to move on the cells `[9]`, if `actions` are played in turn."""
    own, other, sign = own.copy(), other.copy(), 1.0
    for action in actions:
        own[action] = True
        if won(own):
            return sign
        own, other, sign = other, own, -sign
    return 0.0


@pytest.fixture(scope="module")
def items():
    """Config, and rows `[N, T, ...]` of items that an untrained agent's self-play gave."""
    config = MuZeroConfig(
        network=NetworkConfig(torso="flat", hidden_sizes=(8,), width=8, head_sizes=(8,)),
        discount=1.0,
        search=SearchConfig(num_simulations=2),
        # Only the target network reads all observations, by which the games are identified here.
        loss=UnrollLossConfig(unroll_steps=4, td_steps=9, bootstrap="target"),
        replay=PlanningReplayConfig(min_size=1, batch_size=400, sampler="uniform"),
    )
    environment = PgxConfig("tic_tac_toe", random_opening_moves=3).make_factory()(0, 4, False)
    builder, spec = DeterministicModelBuilder(config), environment.spec
    networks = builder.make_networks(spec)
    policy = builder.make_policy(networks, spec)
    rows = row_spec(spec, policy.extras_spec)
    replay = InProcessReplay(builder.replay, rows, num_streams=4, seed=0)
    learner = builder.make_learner(jax.random.PRNGKey(0), networks, iter(()), spec)
    runner = LocalRunner(policy, VariableClient(learner), jax.random.PRNGKey(1), 4)
    actor = builder.make_actor(policy, runner, [replay.make_adder() for _ in range(4)])
    loop = EnvironmentLoop(environment, actor)
    for _ in range(40):
        loop.step()
    rows = replay.sample().rows
    # Of running games the outcome is not known yet.
    ended = (rows.mask * (rows.discount == 0)).sum(-1) > 0
    return config, jax.tree.map(lambda array: array[ended], rows)


def test_returns_are_the_outcome_for_the_player_to_move(items):
    config, rows = items
    values = np.full_like(rows.reward, 0.5)  # Must not matter: no game is longer than n.
    targets = make_targets(rows, values, jax.random.PRNGKey(0), DiscreteSpace(9), config.targets)
    cells = rows.observation.features.reshape(*rows.reward.shape, 9, 2)
    seen = set()
    for item in range(len(cells)):
        actions = rows.action[item][rows.mask[item] > 0]
        for k in range(config.loss.unroll_steps + 1):
            if k < len(actions):
                expected = outcome(cells[item, k, :, 0], cells[item, k, :, 1], actions[k:])
                seen.add(expected)
            else:
                expected = 0.0
            assert targets.values[item, k] == expected
            ends_here = k == len(actions) - 1
            assert targets.rewards[item, k] == (expected if ends_here else 0.0)
    assert seen == {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(targets.masks.known, 1.0)


def test_search_policies_are_those_of_legal_moves(items):
    _, rows = items
    acted, policy = rows.mask > 0, rows.extras["search_policy"]
    assert (policy[acted][~rows.observation.legal_actions[acted]] == 0).all()
    np.testing.assert_allclose(policy[acted].sum(-1), 1.0, rtol=1e-5)
    assert np.take_along_axis(rows.observation.legal_actions, rows.action[..., None], -1)[
        acted
    ].all()
