"""PPO's learner: its schedule, and any number of devices."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.ppo.config import PPOConfig, PPONetworkConfig
from mukoe.learning.optimizers import OptimizerConfig, learning_rate_schedule
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


def make_learner(num_updates=None, config=CONFIG):
    builder = config.make_builder()
    if num_updates is not None:
        builder = builder.for_updates(num_updates)
    networks = builder.make_networks(SPEC)
    dataset = map(make_sample, itertools.count())
    return builder.make_learner(jax.random.PRNGKey(0), networks, dataset, SPEC)


def run(devices):
    """Three updates on these devices: their losses, and the parameters."""
    learner = make_learner()
    learner.use_devices(devices)
    losses = [float(learner.step()["loss"]) for _ in range(3)]
    return losses, jax.tree.leaves(learner.save().params)


def test_the_learning_rate_is_the_schedule_s_at_every_gradient_step_and_never_below_0():
    """Two updates of 2 x 3 gradient steps; what comes after them changes nothing."""
    optimizer = CONFIG.annealed_optimizer(2)
    rates = [float(learning_rate_schedule(optimizer)(step)) for step in range(20)]
    expected = [0.01 * max(0.0, 1 - step / 12) for step in range(20)]
    np.testing.assert_allclose(rates, expected, atol=1e-9)
    learner = make_learner(num_updates=2)
    params = []
    for _ in range(4):
        learner.step()
        params.append(jax.tree.leaves(learner.save().params))
    assert any((a != b).any() for a, b in zip(*params[:2], strict=True))
    for a, b in itertools.chain(zip(*params[1:3], strict=True), zip(*params[2:], strict=True)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)


def test_without_annealing_the_learning_rate_stays():
    config = dataclasses.replace(CONFIG, anneal_lr=False)
    optimizer = config.annealed_optimizer(2)
    assert float(learning_rate_schedule(optimizer)(100)) == pytest.approx(0.01)


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
