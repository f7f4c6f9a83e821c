"""Novelty as a second reward of PPO, against loops in NumPy."""

import dataclasses

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from dm_env import specs

from mukoe.agents.ppo.config import NoveltyConfig, PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.agents.ppo.losses import PPOBatch
from mukoe.agents.ppo.novelty import (
    NoveltyState,
    NoveltyTargets,
    discounted_sums,
    novelty_rewards,
    novelty_targets,
    with_novelty_loss,
)
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.layouts import sebulba
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.novelty import Novelty, make_novelty
from mukoe.types import LossExtra
from tests.layouts.finished import rows_of
from tests.layouts.sebulba.corridor import PPO, experiment

SPEC = specs.Array((3,), np.float32)
NETWORK = PPONetworkConfig(hidden_sizes=(16,))


def test_sums_and_their_variance():
    rewards = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    sums = np.zeros((2, 5))
    for batch in range(2):
        total = 0.0
        for step in range(5):
            total = rewards[batch, step] + 0.9 * total
            sums[batch, step] = total
    np.testing.assert_allclose(discounted_sums(rewards, 0.9), sums, rtol=1e-5)
    first = NoveltyState.zero(NoveltyConfig()).add(jnp.asarray(rewards), 0.9)
    np.testing.assert_allclose(first.variance, sums.var(), rtol=1e-5)
    second = first.add(2 * jnp.asarray(rewards), 0.9)
    np.testing.assert_allclose(second.variance, (1 + 4) / 2 * sums.var(), rtol=1e-5)
    # A batch that is not finite is left out.
    assert first.add(jnp.full((2, 5), jnp.nan), 0.9) == first


def test_advantages_pass_the_ends_of_episodes():
    novelty = Novelty(None, None, lambda params, x: params * x[:, 0])
    values = np.random.default_rng(1).normal(size=(1, 5)).astype(np.float32)
    rewards = np.random.default_rng(2).normal(size=(1, 4)).astype(np.float32)
    config = NoveltyConfig(weight=0.5, discount=0.9)
    targets = novelty_targets(novelty, 2.0, values[..., None], rewards, 0.8, config)
    expected, following = np.zeros(4), 0.0
    for step in reversed(range(4)):
        delta = rewards[0, step] + 0.9 * 2 * values[0, step + 1] - 2 * values[0, step]
        following = expected[step] = delta + 0.9 * 0.8 * following
    np.testing.assert_allclose(targets.advantage[0], 0.5 * expected, rtol=1e-5)
    np.testing.assert_allclose(targets.value[0], 2 * values[0, :-1] + expected, rtol=1e-5)


def test_what_a_step_leads_to_is_novel_once():
    # The episodes are 7 8 7 9 and 7 7; the rows behind the fourth and the last have no action.
    hashes = np.uint32([[7, 8, 7, 9, 7, 7]])
    mask = np.float32([[1, 1, 1, 0, 1, 0]])
    novelty = np.float32([[1, 4, 1, 3, 1, 2]])

    def rewards(**fields):
        return novelty_rewards(novelty, hashes, mask, NoveltyConfig(weight=1.0, **fields))[0]

    np.testing.assert_allclose(rewards(), [4, 1, 3, 1, 2])
    np.testing.assert_allclose(rewards(previous_weight=0.5), [3.5, 0, 2.5, 0, 1.5])
    np.testing.assert_allclose(rewards(first_visits=True), [4, 0, 3, 1, 0])


def test_the_predictor_learns_what_it_sees_and_the_random_network_stays():
    novelty = make_novelty(NETWORK, SPEC, size=8)
    params = novelty.init(jax.random.PRNGKey(0))
    assert not any("target" in name for name in params)
    random = np.random.default_rng(0)
    seen = random.normal(size=(32, 3)).astype(np.float32)
    unseen = seen + np.float32([4, -4, 4])
    again = make_novelty(NETWORK, SPEC, size=8)
    np.testing.assert_array_equal(novelty.error(params, seen), again.error(params, seen))

    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, state):
        gradients = jax.grad(lambda params: novelty.error(params, seen).mean())(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state

    before, state = novelty.error(params, seen).mean(), optimizer.init(params)
    for _ in range(300):
        params, state = step(params, state)
    assert novelty.error(params, seen).mean() < before / 5
    assert novelty.error(params, unseen).mean() > 3 * novelty.error(params, seen).mean()


def test_the_loss_adds_values_and_prediction():
    novelty = Novelty(None, lambda params, x: params * x[:, 0] ** 2, lambda params, x: x[:, 0])
    config = NoveltyConfig(weight=1.0, learned_fraction=1.0)
    loss = with_novelty_loss(
        lambda params, target, batch, key: (3.0 * params, LossExtra({"loss": 0.0}, None)),
        novelty,
        config,
        value_weight=2.0,
    )
    x = jnp.array([[1.0, 2.0, 3.0]])
    targets = NoveltyTargets(x, x + jnp.array([[1.0, 0.0, 7.0]]))
    mask = jnp.array([[1.0, 1.0, 0.0]])
    batch = PPOBatch(x[..., None], None, x, x, x, x, mask, targets)
    total, extra = loss(5.0, None, batch, jax.random.PRNGKey(0), "scale")
    # Values: half the mean of 1, 0 and 49, the last at a final observation. Errors: 5, 20 and 45.
    assert total == pytest.approx(15 + 50 / 3 + 70 / 3)
    assert extra.metrics["loss"] == total and extra.loss_state == "scale"


@pytest.mark.parametrize("measure", ["prediction", "counts"])
def test_a_run_learns_novelty(tmp_path, measure):
    agent = dataclasses.replace(
        PPO, novelty=NoveltyConfig(weight=0.5, measure=measure, first_visits=True, size=8)
    )
    made = experiment(agent, max_actor_steps=200)
    assert sebulba.train(made, sebulba.check(made), tmp_path, False) == 0
    rows = rows_of(tmp_path, "learner")
    novelty = [float(row["novelty"]) for row in rows]
    assert np.isfinite(novelty).all() and min(novelty) > 0
    assert float(rows[-1]["novelty_reward"]) > 0


class LongCorridor(dm_env.Environment):
    """A corridor of `N` cells, one-hot; the end has the reward 1 and is found by turning rarely.

    One of the actions goes on, and the other returns to the start; which one is which differs
    from cell to cell. Random actions reach the end in one of `2^N` attempts.
    """

    LENGTH = 14

    def __init__(self, seed):
        del seed
        self._right = np.random.default_rng(0).integers(0, 2, self.LENGTH)
        self._place = self._steps = 0

    def reset(self):
        self._place = self._steps = 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self._steps += 1
        self._place = self._place + 1 if action == self._right[self._place] else 0
        if self._place == self.LENGTH:
            self._place -= 1
            return dm_env.termination(1.0, self._observe())
        if self._steps == 3 * self.LENGTH:
            return dm_env.truncation(0.0, self._observe())
        return dm_env.transition(0.0, self._observe())

    def _observe(self):
        return np.eye(self.LENGTH, dtype=np.float32)[self._place]

    def observation_spec(self):
        return specs.Array((self.LENGTH,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight", "measure"), [(0.0, "prediction"), (0.5, "prediction"), (0.5, "counts")]
)
def test_a_reward_at_the_end_of_a_long_corridor_is_found_by_novelty(tmp_path, weight, measure):
    agent = PPOConfig(
        network=PPONetworkConfig(hidden_sizes=(32,)),
        loss=PPOLossConfig(entropy_weight=0.001, clip_values=False),
        novelty=NoveltyConfig(weight=weight, measure=measure, size=32),
        rollout_steps=64,
        minibatches=4,
        optimizer=OptimizerConfig(learning_rate=2e-3, weight_decay=0.0, max_gradient_norm=0.5),
        anneal_lr=False,
    )

    def factory(seed, num_envs, evaluation):
        return SyncVectorEnvironment([LongCorridor(seed) for _ in range(num_envs)])

    made = experiment(agent, factory, threads=1, max_actor_steps=60_000, envs_per_actor=8)
    assert sebulba.train(made, sebulba.check(made), tmp_path, False) == 0
    last = [float(row["episode_return"]) for row in rows_of(tmp_path, "actor_0")[-20:]]
    assert np.mean(last) > 0.9 if weight else np.mean(last) < 0.5
