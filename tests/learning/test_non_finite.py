"""Updates that are not finite: skipped, counted, and shown after too many."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mukoe.errors import UserError
from mukoe.learning.learner import Learner
from mukoe.learning.non_finite import NonFiniteUpdatesError, saving_bad_batches
from mukoe.learning.update import TargetUpdateConfig
from mukoe.types import LossExtra, Row, Sample

BATCH = 4


def make_sample(reward):
    zeros = np.zeros((BATCH, 1), np.float32)
    rewards = np.full((BATCH, 1), reward, np.float32)
    keys = np.arange(BATCH, dtype=np.uint64) + np.uint64(2**63)
    rows = Row(zeros, zeros.astype(np.int32), rewards, zeros, zeros, {"search_value": zeros})
    return Sample(keys, np.full(BATCH, 0.5, np.float32), rows)


def loss(params, target_params, sample, key, count):
    del target_params, key
    error = params["w"] - sample.rows.reward[:, 0]
    total = jnp.mean(error**2)
    return total, LossExtra({"loss": total}, jnp.abs(error), count + 1)


def make_learner(rewards, **changes):
    return Learner(
        loss,
        optax.adam(0.1),
        {"w": jnp.float32(1.0)},
        map(make_sample, rewards),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(period=1, rate=0.5),
        loss_state=jnp.float32(0.0),
        devices=jax.devices()[:1],
        **changes,
    )


# 1e30 is finite, its square is not; 1e19 has a finite loss and an infinite gradient norm.
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e30])
def test_a_poisoned_update_changes_nothing_but_the_count(poison):
    learner = make_learner([2.0, poison, 3.0])
    clean = make_learner([2.0, 3.0])
    learner.step()
    before = learner.save()
    learner.step()
    after = learner.save()
    assert after.steps == before.steps + 1
    jax.tree.map(np.testing.assert_array_equal, before._replace(steps=0), after._replace(steps=0))
    metrics = learner.step()
    assert metrics["skipped_updates"] == 1
    clean.step(), clean.step()
    jax.tree.map(
        np.testing.assert_array_equal,
        learner.save()._replace(steps=0),
        clean.save()._replace(steps=0),
    )


def test_poisoned_priorities_are_not_sent():
    sent = []
    learner = make_learner([2.0, np.nan, 3.0], update_priorities=lambda *call: sent.append(call))
    for _ in range(3):
        learner.step()
    learner.flush()
    assert len(sent) == 2
    assert all(np.isfinite(priorities).all() for _, priorities in sent)


def test_infinite_parameters_are_not_taken():
    learner = Learner(
        lambda params, target, sample, key: (
            jnp.sum(params["w"]),
            LossExtra({"loss": 0.0}, None),
        ),
        optax.sgd(3e38),
        {"w": jnp.full((), -3e38, jnp.float32)},
        map(make_sample, [0.0] * 3),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(),
        devices=jax.devices()[:1],
    )
    learner.step()
    assert np.isfinite(learner.save().params["w"])


def test_after_too_many_in_a_row_the_batch_is_saved(tmp_path):
    learner = make_learner([np.nan, np.nan, 1.0, *[np.nan] * 5])
    learner.max_skipped_updates = 3
    with (
        pytest.raises(UserError, match="3 updates in a row") as caught,
        saving_bad_batches(tmp_path),
    ):
        for _ in range(8):
            learner.step()
    assert learner.steps == 7  # Noticed while the next one is computed.
    assert str(tmp_path / "bad_batch.npz") in str(caught.value)
    assert "\n" not in str(caught.value)
    with np.load(tmp_path / "bad_batch.npz", allow_pickle=False) as batch:
        assert set(batch) == {
            "keys",
            "probabilities",
            *(f"rows.{name}" for name in ("observation", "action", "reward", "discount", "mask")),
            "rows.extras.search_value",
        }
        assert np.isnan(batch["rows.reward"]).all()
        assert batch["keys"].tolist() == [2**63 + i for i in range(BATCH)]


def test_the_error_has_the_batch():
    learner = make_learner([np.nan] * 3)
    learner.max_skipped_updates = 1
    learner.step()
    with pytest.raises(NonFiniteUpdatesError) as caught:
        learner.step()
    assert caught.value.count == 1 and np.isnan(caught.value.sample.rows.reward).all()


def test_what_is_unsent_goes_on_in_another_learner():
    sent = []
    first = make_learner([2.0, np.nan], update_priorities=lambda *call: sent.append(call))
    first.step()
    expected = first.save_unsent()
    first.step()
    second = make_learner([], update_priorities=lambda *call: sent.append(call))
    second.restore_unsent(first.save_unsent())
    assert second.save_unsent()["skipped"].tolist() == [1, 1]
    sent.clear()
    third = make_learner([], update_priorities=lambda *call: sent.append(call))
    third.restore_unsent(expected)
    third.flush()
    ((keys, priorities),) = sent
    assert keys.tolist() == [2**63 + i for i in range(BATCH)]
    np.testing.assert_allclose(priorities, 1.0)
