"""Reanalysis with a search of chance nodes, whose model is a slippery corridor itself."""

import types

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.acting.actor import Actor
from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.agents.planning.policy import make_search_policy
from mukoe.agents.planning.reanalyse import make_reanalyse
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.layouts.common.reanalysis import ReplayReanalyser
from mukoe.networks.action_space import DiscreteSpace
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.search.stochastic import StochasticModel, stochastic_search_model
from tests.agents.planning.true_mdp import CELLS, DISCOUNT, Corridor
from tests.layouts.common.test_reanalysis import (
    Parameters,
    config,
    random_params,
    rewrite_all,
    stored,
)

SLIP = 0.25
NETWORKS = types.SimpleNamespace(action_space=DiscreteSpace(2))
# An afterstate is its cell plus an offset for its action.
OFFSET = 10


class SlipperyCorridor(Corridor):
    """Corridor in which an action is reversed with probability `SLIP`."""

    def step(self, action):
        return super().step(int(action) ^ int(self._random.random() < SLIP))


def corridors():
    return SyncVectorEnvironment([SlipperyCorridor(seed) for seed in range(2)])


def make_model():
    """Model with outcome 1 for a reversed action; true with `SLIP` as the parameter `slip`."""

    def move(params, cell, direction):
        after = jnp.where(direction == 1, cell + 1, cell - 1)
        index = jnp.clip(after, 0, CELLS - 1).astype(jnp.int32)
        ended = (after <= 0) | (after >= CELLS - 1)
        reward = jnp.where(after <= 0, 0.3, jnp.where(after >= CELLS - 1, 1.0, 0.0))
        value = jnp.where(ended, 0.0, params["values"][index])
        return after, params["logits"][index], reward, jnp.where(ended, 0.0, DISCOUNT), value

    def root(params, frames):
        index = frames[:, -1].astype(jnp.int32)
        return mctx.RootFnOutput(
            prior_logits=params["logits"][index],
            value=params["values"][index],
            embedding=frames[:, -1],
        )

    def decision(params, key, action, cell):
        del key
        total, slip = 0.0, params["slip"]
        for outcome, probability in enumerate((1 - slip, slip)):
            _, _, reward, discount, value = move(params, cell, action ^ outcome)
            total += probability * (reward + discount * value)
        logits = jnp.broadcast_to(jnp.log(jnp.array([1 - slip, slip])), (*cell.shape, 2))
        output = mctx.DecisionRecurrentFnOutput(chance_logits=logits, afterstate_value=total)
        return output, cell + OFFSET * (action + 1)

    def chance(params, key, outcome, afterstate):
        del key
        action, cell = (afterstate // OFFSET).astype(jnp.int32) - 1, afterstate % OFFSET
        after, logits, reward, discount, value = move(params, cell, action ^ outcome)
        output = mctx.ChanceRecurrentFnOutput(
            action_logits=logits, value=value, reward=reward, discount=discount
        )
        return output, after

    model = StochasticModel(root, decision, chance, num_actions=2, num_outcomes=2)
    return stochastic_search_model(model)


def settings(algorithm):
    like = config(algorithm=algorithm, num_simulations=6)
    fields = ("history", "search", "loss", "replay", "reanalyse")
    return StochasticMuZeroConfig(**{name: getattr(like, name) for name in fields})


def collect(config, params):
    """A replay of steps of the search policy in two environments."""
    environment = corridors()
    policy = make_search_policy(
        make_model(), DiscreteSpace(2), environment.spec, config, False, lambda params: params
    )
    rows = row_spec(environment.spec, policy.extras_spec)
    replay = InProcessReplay(config.make_builder().replay, rows, 0, 2)
    runner = LocalRunner(policy, Parameters(params), jax.random.PRNGKey(0), 2)
    actor = Actor(runner, [replay.make_adder() for _ in range(2)], tuple(policy.extras_spec))
    loop = EnvironmentLoop(environment, actor)
    for _ in range(50):
        loop.step()
    return replay


@pytest.mark.parametrize("algorithm", ["gumbel", pytest.param("muzero", marks=pytest.mark.slow)])
def test_with_the_parameters_that_acted_the_statistics_are_the_stored_ones(algorithm):
    params, config = {**random_params(), "slip": SLIP}, settings(algorithm)
    replay = collect(config, params)
    before = stored(replay)
    acted = before.mask[:, -1] > 0
    both = acted[:-1] & acted[1:]
    moves = np.diff(before.observation[:, -1, 0])[both]
    actions = before.action[:-1, -1][both]
    assert {(a, m) for a, m in zip(actions, moves, strict=True)} >= {(0, 1), (1, -1)}, "no slips"
    learner, reanalyse = Parameters(params), make_reanalyse(NETWORKS, make_model(), config)
    reanalyser = ReplayReanalyser(reanalyse, replay, learner, jax.random.PRNGKey(1), 16)
    rewrite_all(reanalyser, replay)
    after = stored(replay)
    for name in ("search_policy", "search_value"):
        np.testing.assert_allclose(after.extras[name], before.extras[name], atol=1e-5, err_msg=name)
    # Chance and networks both matter: with others, the statistics differ.
    for others in ({**params, "slip": 0.01}, {**random_params(1), "slip": SLIP}):
        learner.params = Parameters(others).params
        rewrite_all(reanalyser, replay)
        changed = stored(replay).extras["search_value"] - before.extras["search_value"]
        assert np.abs(changed)[acted, -1].mean() > 0.01
