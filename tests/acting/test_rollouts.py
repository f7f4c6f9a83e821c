"""Rows of rollouts against what the environments are known to do."""

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.acting.device_rollouts import DeviceRolloutCollector
from mukoe.acting.rollouts import RolloutCollector, RolloutDeclaration
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.types import Policy, PolicyParams, split_legal_actions

PARAMS = PolicyParams({"add": jnp.int32(1)}, jnp.int32(7))


class Steps(dm_env.Environment):
    """The observation is (episode, step); rewards are 10 x episode + step + action / 10.

    Episodes have `length` steps; every second one is truncated.
    """

    def __init__(self, length):
        self._length = length
        self._episode, self._step = -1, 0

    def reset(self):
        self._episode, self._step = self._episode + 1, 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self._step += 1
        reward = 10 * self._episode + self._step + int(action) / 10
        if self._step < self._length:
            return dm_env.transition(reward, self._observe(), 1.0)
        if self._episode % 2:
            return dm_env.truncation(reward, self._observe(), 1.0)
        return dm_env.termination(reward, self._observe())

    def _observe(self):
        return np.float32([self._episode, self._step])

    def observation_spec(self):
        return specs.Array((2,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(10)


def counting_policy():
    """Its action is the number of its steps in this episode, at most 9."""

    def apply(params, key, observation, state):
        del key, observation
        state = state + params.network["add"]
        extras = {"twice": 2.0 * state, "thrice": 3.0 * state}
        return jnp.minimum(state, 9), extras, state

    spec = {"twice": specs.Array((), np.float32)}
    return Policy(apply=apply, initial_state=lambda b: jnp.zeros(b, jnp.int32), extras_spec=spec)


def collect(rollouts, length=4, history=0, lengths=(3, 5)):
    environment = SyncVectorEnvironment([Steps(n) for n in lengths])
    declaration = RolloutDeclaration(length, history)
    collector = RolloutCollector(environment, counting_policy(), jax.random.PRNGKey(0), declaration)
    made = [collector.collect(PARAMS) for _ in range(rollouts)]
    return [rollout._replace(rows=jax.device_get(rollout.rows)) for rollout in made]


def expected_stream(length, steps):
    """(observation, action, reward, discount, mask) of a stream, row by row."""
    rows, episode = [], 0
    while len(rows) <= steps:
        for step in range(length):
            action = step + 1
            reward = 10 * episode + step + 1 + action / 10
            last = step == length - 1
            rows.append(((episode, step), action, reward, float(not last or episode % 2), 1.0))
        # At the final observation the policy still counts, and nothing is taken.
        rows.append(((episode, length), length + 1, 0.0, 0.0, 0.0))
        episode += 1
    return rows[: steps + 1]


def test_rows_go_on_from_rollout_to_rollout():
    made = collect(5)
    for stream, length in enumerate((3, 5)):
        expected = expected_stream(length, 20)
        for index, rollout in enumerate(made):
            rows = rollout.rows
            assert rows.mask.shape == (2, 5)
            for t in range(4):
                observation, action, reward, discount, mask = expected[4 * index + t]
                np.testing.assert_array_equal(rows.observation[stream, t], observation)
                assert rows.action[stream, t] == action
                np.testing.assert_allclose(rows.reward[stream, t], reward, rtol=1e-6)
                assert (rows.discount[stream, t], rows.mask[stream, t]) == (discount, mask)
                assert rows.extras["twice"][stream, t] == 2 * action
            # Of the last row only the observation is known.
            np.testing.assert_array_equal(rows.observation[stream, 4], expected[4 * index + 4][0])
            assert rows.mask[stream, 4] == rows.action[stream, 4] == rows.reward[stream, 4] == 0


def test_steps_and_episodes_are_counted():
    made = collect(5)
    assert sum(rollout.steps for rollout in made) == sum(
        rows[4] for length in (3, 5) for rows in expected_stream(length, 20)[:20]
    )
    episodes = [episode for rollout in made for episode in rollout.episodes]
    assert [e.length for e in episodes if e.environment == 0] == [3] * 5
    assert [e.length for e in episodes if e.environment == 1] == [5] * 3
    assert {rollout.learner_steps for rollout in made} == {7}
    assert set(made[0].statistics) == {"thrice"}


def test_history_is_the_end_of_the_rollout_before():
    plain, made = collect(3), collect(3, history=2)
    first = made[0].rows
    assert first.mask.shape == (2, 7)
    assert not first.mask[:, :2].any() and not first.observation[:, :2].any()
    for before, rollout, without in zip([None, *made], made, plain, strict=False):
        np.testing.assert_array_equal(rollout.rows.observation[:, 2:], without.rows.observation)
        np.testing.assert_array_equal(rollout.rows.reward[:, 2:], without.rows.reward)
        if before is not None:
            old, new = before.rows, rollout.rows
            for left, right in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
                np.testing.assert_array_equal(left[:, 4:6], right[:, :2])


def random_policy():
    """Any legal action; its extra is the sum of what it sees."""

    def apply(params, key, observation, state):
        del params
        features, legal = split_legal_actions(observation)
        action = jax.random.categorical(key, jnp.where(legal, 0.0, -1e9)).astype(jnp.int32)
        seen = jnp.sum(features, axis=(1, 2, 3), dtype=jnp.float32)
        return action, {"seen": seen, "one": jnp.ones_like(seen)}, state

    spec = {"seen": specs.Array((), np.float32)}
    return Policy(apply=apply, initial_state=lambda b: (), extras_spec=spec)


def test_games_on_the_device_make_the_same_rows():
    """Tic-tac-toe shows what was played: every row follows from the one before."""
    environment = PgxConfig("tic_tac_toe").make_factory()(0, 3, False)
    collector = DeviceRolloutCollector(
        environment.functions, random_policy(), jax.random.PRNGKey(0), RolloutDeclaration(8, 1)
    )
    made = [collector.collect(PARAMS) for _ in range(3)]
    steps = episodes = 0
    for rollout in made:
        rows = jax.device_get(rollout.rows)
        assert rows.mask.shape == (3, 10)
        stones = rows.observation.features.sum((2, 3, 4))
        np.testing.assert_array_equal(rows.extras["seen"][:, 1:-1], stones[:, 1:-1])
        for stream in range(3):
            for t in range(1, 9):
                if rows.mask[stream, t]:
                    assert stones[stream, t + 1] == stones[stream, t] + 1
                    if t < 8:
                        assert rows.discount[stream, t] == (-1 if rows.mask[stream, t + 1] else 0)
                else:
                    assert stones[stream, t + 1] == 0
                    assert rows.reward[stream, t] == rows.discount[stream, t] == 0
        assert rollout.steps == rows.mask[:, 1:].sum()
        steps, episodes = steps + rollout.steps, episodes + len(rollout.episodes)
    lengths = [episode.length for rollout in made for episode in rollout.episodes]
    assert all(5 <= length <= 9 for length in lengths) and sum(lengths) <= steps
    wins = sum(abs(episode.episode_return) for rollout in made for episode in rollout.episodes)
    rewards = sum(float(np.asarray(rollout.rows.reward)[:, 1:].sum()) for rollout in made)
    assert wins == rewards
    joined = np.concatenate([np.asarray(rollout.rows.mask)[:, 1:-1] for rollout in made], axis=1)
    assert (1 - joined).sum() in (episodes, episodes - 1, episodes - 2, episodes - 3)
