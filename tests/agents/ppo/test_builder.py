"""PPO's learner: its schedule, and any number of devices."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.ppo.config import NoveltyConfig, PPOConfig, PPONetworkConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.history import HistoryConfig
from mukoe.types import EnvironmentSpec, Row, Sample

SPEC = EnvironmentSpec(
    observations=specs.BoundedArray((3,), np.uint8, 0, 255),
    actions=specs.DiscreteArray(4),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
CONFIG = PPOConfig(
    network=PPONetworkConfig(hidden_sizes=(8,)),
    history=HistoryConfig(frames=2),
    rollout_steps=6,
    epochs=2,
    minibatches=3,
    optimizer=OptimizerConfig(learning_rate=0.01, epsilon=1e-5, weight_decay=0.0),
)


STATISTICS = "actor_critic/observation_statistics"


def make_sample(seed, batch=16):
    random = np.random.default_rng(seed)
    shape = (batch, 8)
    mask = (random.random(shape) > 0.1).astype(np.float32)
    mask[:, -1] = 0
    rows = Row(
        observation=random.integers(0, 255, (*shape, 3)).astype(np.uint8),
        action=random.integers(0, 4, shape).astype(np.int32),
        reward=mask * random.normal(size=shape).astype(np.float32),
        discount=mask * (random.random(shape) > 0.1).astype(np.float32),
        mask=mask,
        extras={
            "log_prob": np.full(shape, np.log(0.25), np.float32),
            "value": random.normal(size=shape).astype(np.float32),
        },
    )
    return Sample((), np.full(batch, 1 / batch, np.float32), rows)


def make_learner(num_steps=None, config=CONFIG, make=make_sample):
    builder = config.make_builder()
    if num_steps is not None:
        builder = builder.for_agent_steps(num_steps)
    networks = builder.make_networks(SPEC)
    dataset = map(make, itertools.count())
    return builder.make_learner(jax.random.PRNGKey(0), networks, dataset, SPEC)


def run(devices):
    """Three updates on these devices: their losses, and the parameters."""
    learner = make_learner()
    learner.use_devices(devices)
    losses = [float(learner.step()["loss"]) for _ in range(3)]
    return losses, jax.tree.leaves(learner.save().params)


def short_episodes(seed):
    """A rollout of episodes of 2 steps: a third of its rows are final observations."""
    sample = make_sample(seed)
    mask = np.broadcast_to(np.arange(8) % 3 < 2, sample.rows.mask.shape).astype(np.float32)
    mask[:, -1] = 0
    return sample._replace(rows=sample.rows._replace(mask=mask))


@pytest.mark.parametrize("make", [make_sample, short_episodes])
def test_learning_rate_reaches_0_with_the_last_agent_step(make):
    """Row 0 is history, and the last row is an observation only."""
    num_steps = sum(int(make(seed).rows.mask[:, 1:-1].sum()) for seed in range(3))
    learner = make_learner(num_steps, make=make)
    params = []
    for _ in range(5):
        learner.step()
        params.append(jax.tree.leaves(learner.save().params))
    changes = [
        max(np.abs(a - b).max() for a, b in zip(before, after, strict=True))
        for before, after in itertools.pairwise(params)
    ]
    assert changes[0] > changes[1] > 1e-4
    assert changes[2:] == [0, 0]


def test_a_skipped_update_counts_no_visits():
    def make(seed):
        sample = make_sample(seed)
        if seed == 1:
            sample.rows.reward[0, 2] = np.nan
        return sample

    novelty = NoveltyConfig(weight=0.5, measure="counts")
    learner = make_learner(config=dataclasses.replace(CONFIG, novelty=novelty), make=make)
    visits = [int(learner.save().loss_state.visits.sum())]
    for _ in range(3):
        skipped = learner.step()["skipped_updates"]
        visits.append(int(learner.save().loss_state.visits.sum()))
    # 6 steps in 16 environments.
    assert visits == [0, 96, 96, 192] and skipped == 1


def test_without_annealing_the_learning_rate_stays():
    learner = make_learner(1, dataclasses.replace(CONFIG, anneal_lr=False))
    learner.step()
    before = jax.tree.leaves(learner.save().params)
    learner.step()
    after = jax.tree.leaves(learner.save().params)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


def normalized(seed):
    """Rollouts whose observations have another mean and deviation in each update."""
    sample = make_sample(seed)
    noise = np.random.default_rng(seed).normal(size=(16, 8, 3)) * [1.0, 30.0, 0.1] + [
        0.0,
        900.0,
        5.0,
    ]
    observation = (noise + seed).astype(np.float32)
    return sample._replace(rows=sample.rows._replace(observation=observation))


def test_observations_are_normalised_by_the_statistics_of_all_rollouts_before():
    spec = SPEC._replace(observations=specs.Array((3,), np.float32))
    network = PPONetworkConfig(hidden_sizes=(8,), normalize_observations=True)
    config = dataclasses.replace(
        CONFIG,
        network=network,
        history=HistoryConfig(),
        optimizer=OptimizerConfig(learning_rate=0.01, weight_decay=0.5),
        rollout_steps=7,
        minibatches=7,
    )
    builder = config.make_builder().for_agent_steps(10_000)
    networks = builder.make_networks(spec)
    dataset = map(normalized, itertools.count())
    learner = builder.make_learner(jax.random.PRNGKey(0), networks, dataset, spec)
    seen = []
    for update in range(3):
        before = learner.save().params
        learner.step()
        rows = normalized(update).rows
        seen.append(rows.observation[rows.mask > 0].astype(np.float64))
        params = learner.save().params
        statistics = params[STATISTICS]
        batches = [np.mean(batch, axis=0) for batch in seen]
        np.testing.assert_allclose(statistics["mean"], np.mean(batches, axis=0), rtol=1e-5)
        variance = np.var(np.concatenate(seen), axis=0)
        np.testing.assert_allclose(statistics["variance"], variance, rtol=0.1)
        changed = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, params)
        assert min(jax.tree.leaves(changed)) > 0
    outputs, _ = networks.apply(params, jnp.float32(seen[0][:5]))
    statistics = {name: jnp.zeros(3) + (name == "variance") for name in statistics}
    plain = {**params, STATISTICS: statistics}
    mean, variance = (params[STATISTICS][n] for n in ("mean", "variance"))
    expected, _ = networks.apply(plain, (jnp.float32(seen[0][:5]) - mean) / jnp.sqrt(variance))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4)


def test_all_gradient_steps_of_an_update_have_the_statistics_of_the_behaviour_policy():
    """Without a step of the optimiser the policy of the batch stays the one that acted."""
    spec = SPEC._replace(observations=specs.Array((3,), np.float32))
    network = PPONetworkConfig(hidden_sizes=(8,), normalize_observations=True)
    optimizer = OptimizerConfig(learning_rate=1e-12, weight_decay=0.0)
    config = dataclasses.replace(
        CONFIG,
        network=network,
        history=HistoryConfig(),
        optimizer=optimizer,
        rollout_steps=7,
        minibatches=7,
    )
    builder = config.make_builder()
    networks = builder.make_networks(spec)
    params = networks.init(jax.random.PRNGKey(0))

    def acted(seed):
        sample = normalized(seed)
        outputs, _ = networks.apply(params, jnp.asarray(sample.rows.observation).reshape(-1, 3))
        policy = networks.policy(outputs.reshape(16, 8, -1))
        extras = {**sample.rows.extras, "log_prob": policy.log_prob(sample.rows.action)}
        return sample._replace(rows=sample.rows._replace(extras=extras))

    learner = builder.make_learner(jax.random.PRNGKey(0), networks, map(acted, [0, 1]), spec)
    learner.restore(learner.save()._replace(params=params))
    assert learner.step()["approximate_kl"] < 1e-6


_EIGHT_DEVICES = """
import sys; sys.path.insert(0, "tests/agents/ppo")
import jax, numpy as np
import test_builder as case

assert len(jax.devices()) == 8
losses, params = case.run(jax.devices())
others, expected = case.run(jax.devices()[:1])
np.testing.assert_allclose(losses, others, rtol=1e-4)
for one, other in zip(params, expected):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
"""


def test_an_update_on_eight_devices_equals_that_on_one():
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
    }
    result = subprocess.run(
        [sys.executable, "-c", _EIGHT_DEVICES],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
