"""A hand-written episode, from the adder to the targets of the loss.

Four actions, rewards 1 2 3 4, search values 10 20 30 40 and 50 at the final observation,
discount 0.5, n = 2 (two rewards), K = 3 (four states).
"""

import dataclasses
import types

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import UnrollLossConfig
from mukoe.agents.planning.targets import make_targets, sample_targets
from mukoe.errors import UserError
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.history import HistoryConfig
from mukoe.networks.prediction import Prediction
from mukoe.replay.declaration import ReplayDeclaration, row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import EnvironmentSpec, Sample

NUM_ACTIONS = 5
SPACE = DiscreteSpace(NUM_ACTIONS)
CONFIG = MuZeroConfig(discount=0.5, loss=UnrollLossConfig(unroll_steps=3, td_steps=2))
REWARDS = (1.0, 2.0, 3.0, 4.0)
SEARCH_VALUES = (10.0, 20.0, 30.0, 40.0, 50.0)
ACTIONS = (3, 1, 4, 2)
SPEC = EnvironmentSpec(
    observations=specs.Array((1,), np.float32),
    actions=specs.DiscreteArray(NUM_ACTIONS),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
EXTRAS = {
    "search_policy": specs.Array((NUM_ACTIONS,), np.float32),
    "search_value": specs.Array((), np.float32),
}


def observation(t):
    return np.array([t + 1], np.float32)


def policy(t):
    """A different distribution at every step: all on action `t % 5`."""
    return np.eye(NUM_ACTIONS, dtype=np.float32)[t % NUM_ACTIONS]


def extras(t):
    return {"search_policy": policy(t), "search_value": np.float32(SEARCH_VALUES[t])}


def items_by_start(truncated, history=0):
    declaration = ReplayDeclaration(
        sequence_length=6, history=history, capacity=100, min_size=1, batch_size=64
    )
    replay = InProcessReplay(declaration, row_spec(SPEC, EXTRAS), seed=0, num_streams=1)
    adder = replay.make_adder()
    adder.add_first(dm_env.restart(observation(0)))
    for t in range(4):
        last = t == 3
        step_type = dm_env.StepType.LAST if last else dm_env.StepType.MID
        discount = 0.0 if last and not truncated else 1.0
        timestep = dm_env.TimeStep(step_type, REWARDS[t], discount, observation(t + 1))
        adder.add(np.int32(ACTIONS[t]), timestep, extras(t), extras(4) if last else None)
    assert replay.size == 4
    rows = replay.sample().rows
    starts = rows.observation[:, history, 0].astype(int) - 1
    order = [int(np.flatnonzero(starts == t)[0]) for t in range(4)]
    return jax.tree.map(lambda array: array[np.array(order)], rows)


def targets_of(truncated, history=0):
    rows = jax.tree.map(lambda array: array[:, history:], items_by_start(truncated, history))
    values = rows.extras["search_value"]
    targets = make_targets(rows, values, jax.random.PRNGKey(0), SPACE, CONFIG.targets)
    return jax.tree.map(np.asarray, targets)


@pytest.mark.parametrize("history", [0, 3])
def test_termination_gives_absorbing_states(history):
    targets = targets_of(truncated=False, history=history)
    # z_0 = 1 + 0.5 * 2 + 0.25 * 30 = 9.5     (30 is the search value two steps on)
    # z_1 = 2 + 0.5 * 3 + 0.25 * 40 = 13.5
    # z_2 = 3 + 0.5 * 4             = 5       (the last reward, then the end: nothing more)
    # z_3 = 4                                 (50, at the final observation, is not used)
    np.testing.assert_array_equal(
        targets.values,
        [
            [9.5, 13.5, 5, 4],
            [13.5, 5, 4, 0],
            [5, 4, 0, 0],
            [4, 0, 0, 0],
        ],
    )
    # Of each state the reward that the action taken there led to.
    np.testing.assert_array_equal(
        targets.rewards, [[1, 2, 3, 4], [2, 3, 4, 0], [3, 4, 0, 0], [4, 0, 0, 0]]
    )
    # The policy has a target where an action was taken.
    acted = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(targets.masks.acted, acted)
    np.testing.assert_array_equal(targets.masks.known - targets.masks.acted, 1 - np.array(acted))
    # Value and reward are known for ever after a termination.
    np.testing.assert_array_equal(targets.masks.known, np.ones((4, 4)))


@pytest.mark.parametrize("history", [0, 3])
def test_truncation_bootstraps_and_knows_nothing_behind_it(history):
    targets = targets_of(truncated=True, history=history)
    # z_0 and z_1 do not reach the end.
    # z_2 = 3 + 0.5 * 4 + 0.25 * 50 = 17.5    (50: the search value of the final observation)
    # z_3 = 4 + 0.5 * 50            = 29      (one reward, then the bootstrap, one step on)
    acted = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    expected = np.array(
        [[9.5, 13.5, 17.5, 29], [13.5, 17.5, 29, 0], [17.5, 29, 0, 0], [29, 0, 0, 0]]
    )
    np.testing.assert_array_equal(targets.values * acted, expected)
    np.testing.assert_array_equal(
        targets.rewards * acted, [[1, 2, 3, 4], [2, 3, 4, 0], [3, 4, 0, 0], [4, 0, 0, 0]]
    )
    np.testing.assert_array_equal(targets.masks.acted, acted)
    np.testing.assert_array_equal(targets.masks.known - targets.masks.acted, np.zeros((4, 4)))
    np.testing.assert_array_equal(targets.masks.known, acted)


@pytest.mark.parametrize("truncated", [False, True])
def test_policies_and_actions_are_those_of_the_steps(truncated):
    targets = targets_of(truncated)
    for start in range(4):
        for k in range(4 - start):
            np.testing.assert_array_equal(targets.policies[start, k], policy(start + k))
            assert targets.actions[start, k] == ACTIONS[start + k]


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(("td_lambda", "evaluated"), [(1.0, 4), (0.5, 6)])
def test_target_network_evaluates_the_states_that_are_bootstrapped_from(
    truncated, frames, td_lambda, evaluated
):
    batch_sizes = []

    def representation(params, inputs):
        batch_sizes.append(inputs.shape[0])
        assert inputs.shape[1:] == (frames,)
        return inputs

    # The value of observation `t` is its search value, and depends on the newest frame alone.
    networks = types.SimpleNamespace(
        representation=representation,
        prediction=lambda params, state: Prediction((), 10 * state),
        value_encoding=types.SimpleNamespace(to_scalar=lambda logits: logits[:, -1]),
        action_space=SPACE,
    )
    sample = Sample((), np.ones(4, np.float32), items_by_start(truncated, frames - 1))
    loss = dataclasses.replace(CONFIG.loss, td_lambda=td_lambda)
    config = dataclasses.replace(CONFIG, history=HistoryConfig(frames), loss=loss)
    stored = sample_targets(networks, config, (), sample, jax.random.PRNGKey(0))
    assert not batch_sizes
    config = dataclasses.replace(config, loss=dataclasses.replace(loss, bootstrap="target"))
    targets = sample_targets(networks, config, (), sample, jax.random.PRNGKey(0))
    assert batch_sizes == [4 * evaluated]
    jax.tree.map(np.testing.assert_array_equal, targets, stored)


def test_n_falls_evenly_to_1_with_the_age_of_a_sequence():
    settings = dataclasses.replace(CONFIG.targets, td_steps=5, max_age=100)
    ages = np.array([0, 24, 25, 50, 75, 99, 100, 500])
    np.testing.assert_array_equal(settings.steps_at(ages), [5, 5, 4, 3, 2, 2, 1, 1])
    assert CONFIG.targets.steps_at(ages) is None


@pytest.mark.parametrize("bootstrap", ["search", "target"])
@pytest.mark.parametrize(("td_lambda", "evaluated"), [(1.0, 4), (0.5, 6)])
def test_old_sequences_are_bootstrapped_earlier(bootstrap, td_lambda, evaluated):
    batch_sizes = []
    networks = types.SimpleNamespace(
        representation=lambda params, inputs: batch_sizes.append(inputs.shape[0]) or inputs,
        prediction=lambda params, state: Prediction((), 10 * state),
        value_encoding=types.SimpleNamespace(to_scalar=lambda logits: logits[:, -1]),
        action_space=SPACE,
    )
    # Items 0 and 2 are 100 updates old, items 1 and 3 are new.
    rows = items_by_start(truncated=True)
    acted_at = np.array([[20], [120], [20], [120]]) + 0 * rows.action
    rows = rows._replace(extras={**rows.extras, "learner_steps": acted_at})
    sample = Sample((), np.ones(4, np.float32), rows, learner_steps=np.int32(120))
    loss = dataclasses.replace(CONFIG.loss, bootstrap=bootstrap, td_lambda=td_lambda, max_age=100)
    config = dataclasses.replace(CONFIG, loss=loss)
    targets = sample_targets(networks, config, (), sample, jax.random.PRNGKey(0))
    np.testing.assert_array_equal(targets.ages, [100, 0, 100, 0])
    assert batch_sizes == [4 * evaluated] * (bootstrap == "target")
    # n = 1: 1 + 20 / 2, 2 + 30 / 2, 3 + 40 / 2, 4 + 50 / 2, whatever λ is.
    one_step = [11, 17, 23, 29]
    # n = 2, as above; λ halves it with the 1-step returns, except for the last action.
    two_steps = [9.5, 13.5, 17.5, 29]
    new = [two_steps[1], two_steps[2], 29]
    if td_lambda == 0.5:
        new = [(17 + 13.5) / 2, (23 + 17.5) / 2, 29]
    np.testing.assert_array_equal(targets.values[0], one_step)
    np.testing.assert_array_equal(targets.values[1, :3], new)
    np.testing.assert_array_equal(targets.values[2, :2], one_step[2:])
    np.testing.assert_array_equal(targets.values[3, 0], 29)


def test_value_targets_of_old_sequences_are_the_search_values():
    # Items 0 and 2 are 100 updates old, items 1 and 3 are new.
    rows, ages = items_by_start(truncated=True), np.array([100, 99, 100, 0])
    values, key = rows.extras["search_value"], jax.random.PRNGKey(0)
    fresh = make_targets(rows, values, key, SPACE, CONFIG.targets)
    settings = dataclasses.replace(CONFIG.targets, search_value_age=100)
    mixed = make_targets(rows, values, key, SPACE, settings, ages)
    np.testing.assert_array_equal(mixed.values[1::2], fresh.values[1::2])
    acted = fresh.masks.acted[::2]
    states = acted.shape[1]
    np.testing.assert_array_equal(mixed.values[::2], values[::2, :states] * acted)
    assert (mixed.values[::2] != fresh.values[::2]).any()
    # Bootstrap values change returns only.
    old = np.full(4, 1_000)
    others = make_targets(rows, values + 7.0, key, SPACE, settings, old)
    np.testing.assert_array_equal(others.values[::2], mixed.values[::2])


def test_one_correction_of_old_targets_at_a_time():
    with pytest.raises(UserError, match="search_value_age"):
        dataclasses.replace(CONFIG.loss, max_age=10, search_value_age=10)


def test_actions_in_absorbing_states_are_random_and_legal_numbers():
    rows = items_by_start(truncated=False)
    values = rows.extras["search_value"]
    keys = [jax.random.PRNGKey(seed) for seed in range(50)]
    settings = CONFIG.targets
    last = {int(make_targets(rows, values, key, SPACE, settings).actions[3, 3]) for key in keys}
    assert last == set(range(NUM_ACTIONS))
