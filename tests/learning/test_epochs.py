"""Updates of several gradient steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mukoe.errors import UserError
from mukoe.learning.epochs import EpochsConfig, minibatch_indices, update_in_epochs
from mukoe.learning.learner import Learner
from mukoe.learning.update import TargetUpdateConfig
from mukoe.types import LossExtra, Row, Sample

BATCH, STEPS = 2, 6


def make_sample(seed=0):
    reward = np.random.default_rng(seed).normal(size=(BATCH, STEPS)).astype(np.float32)
    zeros = np.zeros_like(reward)
    row = Row(zeros, zeros.astype(np.int32), reward, zeros, zeros + 1, {})
    return Sample((), np.full(BATCH, 0.5, np.float32), row)


def prepare(params, sample):
    """Adds the parameters before the first gradient step to every minibatch."""
    return {"target": sample.rows.reward, "before": params["w"] + 0.0 * sample.rows.reward}


def loss(params, target_params, batch, key):
    total = jnp.mean((params["w"] - batch["target"]) ** 2 + 0.1 * (params["w"] - batch["before"]))
    return total, LossExtra({"loss": total}, None)


def without_ends(params, sample):
    """Leaves out a row of history and the last row, as `prepare` of PPO does."""
    return jax.tree.map(lambda array: array[:, 1:-1], prepare(params, sample))


def learner(config, samples=None, optimizer=None, prepare=prepare, loss=loss, **options):
    return Learner(
        loss,
        optimizer or optax.sgd(0.1),
        {"w": jnp.float32(1.0)},
        iter(samples or [make_sample(i) for i in range(9)]),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(period=1, rate=1.0),
        devices=jax.devices()[:1],
        update=functools.partial(update_in_epochs, prepare, config),
        **options,
    )


def test_each_epoch_passes_over_every_step_once_in_an_order_of_its_own():
    config = EpochsConfig(epochs=3, minibatches=2)
    indices = np.asarray(minibatch_indices(jax.random.PRNGKey(0), config, 4, 10))
    assert indices.shape == (6, 4, 5)
    orders = set()
    for epoch in indices.reshape(3, 2, 4, 5):
        for entry in epoch.swapaxes(0, 1).reshape(4, 10):
            assert sorted(entry) == list(range(10))
            orders.add(tuple(entry))
    assert len(orders) == 12


def test_whole_rollouts_are_divided_over_the_minibatches():
    config = EpochsConfig(epochs=2, minibatches=3, whole_rollouts=True)
    indices = np.asarray(minibatch_indices(jax.random.PRNGKey(0), config, 6, STEPS))
    assert indices.shape == (6, 2)
    epochs = [tuple(epoch.ravel()) for epoch in indices.reshape(2, 3, 2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(6))] * 2 and epochs[0] != epochs[1]
    with pytest.raises(UserError, match="7 environments cannot be divided"):
        minibatch_indices(jax.random.PRNGKey(0), config, 7, STEPS)


def test_a_minibatch_has_the_rollouts_and_the_memory_of_its_environments():
    seen = []

    def prepare_all(params, sample):
        return {"target": sample.rows.reward, "w": sample.memory}

    def recording_loss(params, target_params, batch, key):
        assert batch["target"].shape == (1, STEPS) and batch["w"].shape == (1,)
        jax.debug.callback(lambda target, w: seen.append((target[0], w[0])), *batch.values())
        total = params["w"] * jnp.mean(batch["target"])
        return total, LossExtra({"loss": total}, None)

    sample = make_sample(0)._replace(memory=np.float32([10.0, 20.0]))
    config = EpochsConfig(epochs=2, minibatches=2, whole_rollouts=True)
    made = learner(config, [sample], prepare=prepare_all, loss=recording_loss)
    made.step()
    jax.effects_barrier()
    assert sorted(int(w) for _, w in seen) == [10, 10, 20, 20]
    for target, w in seen:
        np.testing.assert_array_equal(target, sample.rows.reward[int(w) // 10 - 1])


@pytest.mark.parametrize("unroll", [False, True])
def test_an_update_is_its_gradient_steps_one_after_the_other(unroll):
    config = EpochsConfig(epochs=2, minibatches=3, unroll=unroll)
    made = learner(config)
    metrics = made.step()
    w = 1.0
    shuffle_key, _ = jax.random.split(jax.random.fold_in(jax.random.PRNGKey(0), 0))
    indices = np.asarray(minibatch_indices(shuffle_key, config, BATCH, STEPS))
    target, losses = make_sample(0).rows.reward, []
    for index in indices:
        part = np.take_along_axis(target, index, axis=1)
        losses.append(np.mean((w - part) ** 2 + 0.1 * (w - 1.0)))
        w -= 0.1 * (2 * (w - part.mean()) + 0.1)
    np.testing.assert_allclose(made.save().params["w"], w, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-5)
    assert made.steps == 1


def test_one_gradient_step_that_is_not_finite_undoes_the_whole_update():
    bad = make_sample(0)
    bad.rows.reward[0, 0] = np.nan
    made = learner(EpochsConfig(epochs=1, minibatches=3), [make_sample(1), bad, make_sample(2)])
    made.step()
    before = made.save().params["w"]
    made.step()
    np.testing.assert_array_equal(made.save().params["w"], before)
    assert made.step()["skipped_updates"] == 1
    assert made.save().params["w"] != before and made.steps == 3


def test_steps_that_cannot_be_divided_are_refused():
    with pytest.raises(UserError, match="6 steps"):
        learner(EpochsConfig(epochs=1, minibatches=4)).step()


def test_gradient_steps_share_the_agent_steps_after_the_history():
    """Row 0 is history; the other rows have 7 steps, which 5 gradient steps share."""
    sample = make_sample()
    sample.rows.mask[:] = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]]
    optimizer = optax.GradientTransformationExtraArgs(
        lambda params: jnp.zeros(5, jnp.int32),
        lambda updates, state, params, *, agent_steps: (
            updates,
            jnp.roll(state, -1).at[-1].set(agent_steps),
        ),
    )
    made = learner(EpochsConfig(epochs=5, minibatches=1), [sample], optimizer, prepare=without_ends)
    made.step()
    assert made.save().optimizer_state.tolist() == [2, 2, 1, 1, 1]
