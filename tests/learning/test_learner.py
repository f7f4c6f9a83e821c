import os
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mukoe.errors import UserError
from mukoe.learning.learner import Learner
from mukoe.learning.update import TargetUpdateConfig
from mukoe.types import LossExtra, Row, Sample

BATCH = 4


def make_sample(i=0, batch=BATCH):
    """The loss sees `reward`; keys are too large for a float64."""
    rng = np.random.default_rng(i)
    zeros = np.zeros((batch, 1), np.float32)
    reward = rng.normal(size=(batch, 1)).astype(np.float32)
    keys = np.arange(batch, dtype=np.uint64) + np.uint64(2**63 + 1 + 1000 * i)
    return Sample(
        keys,
        np.full(batch, 0.5, np.float32),
        Row(zeros, zeros.astype(np.int32), reward, zeros, zeros, {}),
    )


def loss(params, target_params, sample, key):
    """Depends on everything that a learner keeps: the target, the samples, the key."""
    error = params["w"] - sample.rows.reward[:, 0] - 0.1 * target_params["w"]
    noise = jax.random.normal(key)
    total = jnp.mean(error**2) + 0.01 * noise * params["w"]
    return total, LossExtra({"loss": total}, jnp.abs(error))


def make_learner(dataset=None, **changes):
    options = {
        "target_update": TargetUpdateConfig(period=2, rate=0.5),
        "devices": jax.devices()[:1],
    }
    return Learner(
        loss,
        optax.adam(0.1),
        {"w": jnp.float32(1.0)},
        map(make_sample, range(100)) if dataset is None else dataset,
        jax.random.PRNGKey(0),
        **(options | changes),
    )


def test_compiling_ahead_changes_nothing_and_is_the_only_compilation():
    learner, other = make_learner(), make_learner()
    learner.compile(make_sample(50))
    assert learner.steps == 0 and learner._update._cache_size() == 1
    for _ in range(3):
        learner.step()
        other.step()
    assert learner._update._cache_size() == 1
    for own, expected in zip(*map(jax.tree.leaves, (learner.save(), other.save())), strict=True):
        np.testing.assert_array_equal(own, expected)


_DEVICES = """
import sys; sys.path.insert(0, "tests/agents/planning/deterministic_model")
import jax, numpy as np, itertools
import test_losses as case
from mukoe.errors import UserError
from mukoe.agents.planning.deterministic_model.losses import make_loss
from mukoe.learning.learner import Learner
from mukoe.learning.update import TargetUpdateConfig
import optax

assert len(jax.devices()) == 8
networks, params = case.build()

def run(devices):
    sent = []
    learner = Learner(
        make_loss(networks, case.CONFIG), optax.sgd(0.1, momentum=0.9), params,
        map(case.make_sample, itertools.count()), jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(period=1, rate=0.5), devices=devices,
        update_priorities=lambda keys, priorities: sent.append(priorities),
    )
    for _ in range(3):
        learner.step()
    learner.flush()
    return learner.save(), np.stack(sent)

one, many = run(jax.devices()[:1]), run(None)
assert many[1].shape == (3, case.B)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, many)
moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), one[0].params, params)
assert max(jax.tree.leaves(moved)) > 0.01
try:
    run(jax.devices()[:3])
except UserError as error:
    assert "batch size 8 cannot be split evenly over the 3 devices" in str(error)
else:
    raise AssertionError("a batch of 8 was split over 3 devices")
print("equal")
"""


@pytest.mark.slow
def test_eight_devices_equal_one_and_batches_must_be_split_evenly():
    flags = "--xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-c", _DEVICES],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout.strip() == "equal", done.stderr[-3000:]


def test_restored_learner_goes_on_bit_for_bit():
    first = make_learner()
    for _ in range(3):
        first.step()
    saved = first.save()
    for _ in range(4):
        first.step()
    second = make_learner(dataset=map(make_sample, range(3, 100)))
    second.restore(saved)
    assert second.steps == 3
    for _ in range(4):
        second.step()
    jax.tree.map(np.testing.assert_array_equal, first.save(), second.save())


def test_variables_after_a_restore_are_the_restored_ones():
    learner = make_learner()
    state = learner.save()
    assert learner.get_variables()[0].network["w"] == 1.0
    learner.restore(state._replace(params={"w": np.float32(5.0)}))
    assert learner.get_variables()[0].network["w"] == 5.0


def test_variables_follow_the_steps():
    learner = make_learner()
    before = learner.get_variables(["policy"])[0]
    learner.step()
    (after,) = learner.get_variables(["policy"])
    assert (before.learner_steps, after.learner_steps) == (0, 1)
    assert before.network["w"] == 1.0 and after.network["w"] != 1.0
    assert isinstance(after.network["w"], np.ndarray)
    with pytest.raises(UserError, match="critic"):
        learner.get_variables(["critic"])


def test_priorities_are_sent_with_the_keys_of_their_sample():
    sent = []
    learner = make_learner(update_priorities=lambda *call: sent.append(call))
    weights = []
    for _ in range(3):
        weights.append(learner.save())
        learner.step()
    assert len(sent) == 2  # The newest are sent with the next step,
    learner.flush()
    assert len(sent) == 3  # or when asked for,
    learner.flush()
    assert len(sent) == 3  # and only once.
    for i, (keys, priorities) in enumerate(sent):
        sample, state = make_sample(i), weights[i]
        assert keys.dtype == np.uint64
        assert keys.tolist() == [2**63 + 1 + 1000 * i + b for b in range(BATCH)]
        expected = abs(
            state.params["w"] - sample.rows.reward[:, 0] - 0.1 * state.target_params["w"]
        )
        np.testing.assert_allclose(priorities, expected, rtol=1e-5)


@pytest.mark.parametrize("period, rate", [(1, 1.0), (3, 1.0), (2, 0.25)])
def test_target_parameters_follow(period, rate):
    learner = make_learner(target_update=TargetUpdateConfig(period=period, rate=rate))
    target = 1.0
    for step in range(1, 8):
        learner.step()
        state = learner.save()
        if step % period == 0:
            target = (1 - rate) * target + rate * float(state.params["w"])
        assert float(state.target_params["w"]) == pytest.approx(target, rel=1e-5)


@pytest.mark.parametrize("prefetch_size", [0, 2])
def test_end_of_the_dataset_ends_the_learner(prefetch_size):
    learner = make_learner(dataset=map(make_sample, range(3)), prefetch_size=prefetch_size)
    for _ in range(3):
        learner.step()
    with pytest.raises(StopIteration):
        learner.step()
    assert learner.steps == 3


def test_prefetching_changes_nothing():
    plain, ahead = make_learner(), make_learner(prefetch_size=3)
    for _ in range(5):
        plain.step()
        ahead.step()
    ahead.close()
    jax.tree.map(np.testing.assert_array_equal, plain.save(), ahead.save())


@pytest.mark.parametrize("prefetch_size", [0, 2])
def test_error_of_the_dataset_is_raised(prefetch_size):
    def dataset():
        yield make_sample()
        raise ConnectionError("the replay is gone")

    learner = make_learner(dataset=dataset(), prefetch_size=prefetch_size)
    learner.step()
    with pytest.raises(ConnectionError, match="the replay is gone"):
        learner.step()


def test_close_frees_a_waiting_step():
    blocked, outcome = threading.Event(), []

    def dataset():
        blocked.wait(30)
        yield make_sample()

    learner = make_learner(dataset=dataset(), prefetch_size=1)

    def wait():
        try:
            learner.step()
        except StopIteration:
            outcome.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    closed = time.monotonic()
    learner.close()
    thread.join(5)
    blocked.set()
    assert outcome and outcome[0] - closed < 2


def test_memory_of_a_loss_goes_from_update_to_update():
    def counting(params, target_params, sample, key, count):
        total, extra = loss(params, target_params, sample, key)
        return total + 0.0 * count, extra._replace(loss_state=count + 1)

    learner = Learner(
        counting,
        optax.sgd(0.1),
        {"w": jnp.float32(1.0)},
        map(make_sample, range(9)),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(),
        loss_state=jnp.float32(5.0),
    )
    learner.step()
    saved = learner.save()
    learner.step()
    assert (saved.loss_state, learner.save().loss_state) == (6.0, 7.0)
    learner.restore(saved)
    learner.step()
    assert learner.save().loss_state == 7.0


@pytest.mark.parametrize("prefetch_size", [0, 2])
def test_waiting_for_slow_data_is_told_from_updating(prefetch_size):
    def slow():
        for i in range(8):
            time.sleep(0.05)
            yield make_sample(i)

    learner = make_learner(slow(), prefetch_size=prefetch_size)
    assert learner.time_shares() == {}
    learner.step()
    assert learner.time_shares() == {}  # It compiled.
    for _ in range(6):
        learner.step()
    shares = learner.time_shares()
    assert set(shares) == {"data", "transfer", "update"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["data"] > 0.5 > shares["transfer"] + shares["update"]


def test_the_loss_receives_the_number_of_updates():
    def loss_with_steps(params, target_params, sample, key):
        total, extra = loss(params, target_params, sample, key)
        return total, extra._replace(metrics={"loss": total, "steps": sample.learner_steps})

    learner = Learner(
        loss_with_steps,
        optax.sgd(0.1),
        {"w": jnp.float32(1.0)},
        map(make_sample, range(3)),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(),
        devices=jax.devices()[:1],
    )
    assert [int(learner.step()["steps"]) for _ in range(3)] == [0, 1, 2]


def test_work_between_updates_has_a_share_of_the_time():
    learner = make_learner(map(make_sample, range(10)))
    for measured in range(3):
        learner.step()
        with learner.measure("reanalysis"):
            time.sleep(0.1)
        assert ("reanalysis" in learner.time_shares()) == (measured > 0)  # It compiled.
    assert learner.time_shares()["reanalysis"] > 0.5


def test_updates_are_told_from_data_that_is_ready():
    def slow_loss(params, target_params, sample, key):
        def sleep(x):
            time.sleep(0.05)
            return x

        total, extra = loss(params, target_params, sample, key)
        delayed = jax.pure_callback(sleep, jax.ShapeDtypeStruct((), np.float32), key[0] * 0.0)
        return total, extra._replace(metrics={"loss": total + delayed})

    learner = Learner(
        slow_loss,
        optax.sgd(0.1),
        {"w": jnp.float32(1.0)},
        map(make_sample, range(100)),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(),
        devices=jax.devices()[:1],
        prefetch_size=2,
    )
    for _ in range(7):
        learner.step()
    learner.close()
    assert learner.time_shares()["update"] > 0.5
