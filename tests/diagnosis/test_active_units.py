"""Inactive units of heads that were disabled on purpose."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.diagnosis.active_units import check_active_units
from mukoe.networks.heads import Head

UNITS = 10


def gradient_of(disabled, channels=False, read=True):
    """Returns the gradient of a head whose first `disabled` hidden units are 0 for every input."""
    head = hk.without_apply_rng(
        hk.transform(lambda x: Head(3, channels=4, hidden_sizes=(UNITS,), name="policy_head")(x))
    )
    shape = (32, 2, 2, 5) if channels else (32, 5)
    states = jax.random.normal(jax.random.key(0), shape)
    params = head.init(jax.random.key(1), states)
    hidden, last = params["policy_head/linear"], params["policy_head/linear_1"]
    # Above any activation of the first layer.
    hidden["b"] = jnp.where(jnp.arange(UNITS) < disabled, -1e6, 1.0)
    last["w"] = jax.random.normal(jax.random.key(2), last["w"].shape)
    return jax.grad(lambda p: jnp.sum((head.apply(p, states)[:, 0] - 1.0) ** 2) * read)(params)


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("disabled", [0, 3, 9, 10])
def test_disabled_units_are_counted(disabled, channels):
    finding = check_active_units(gradient_of(disabled, channels))
    counts = {layer: int(without) for layer, _, without in finding.table[1:]}
    assert counts["policy_head/linear_1"] == disabled
    assert finding.verdict == ("fault" if disabled > 9 else "ok")


def test_the_fault_names_the_layer_and_a_remedy():
    text = check_active_units(gradient_of(UNITS)).text
    assert "10 of 10 before policy_head/linear_1" in text
    assert "agent.network.head_sizes=()" in text


def test_an_output_without_gradient_is_no_inactive_unit():
    gradient = gradient_of(0)
    # Only the first of three outputs is in the loss, as where actions are illegal.
    assert np.all(gradient["policy_head/linear_1"]["w"][:, 1:] == 0)
    assert check_active_units(gradient).verdict == "ok"


def test_a_head_that_the_loss_does_not_reach_is_left_to_its_own_check():
    assert check_active_units(gradient_of(0, read=False)).verdict == "unknown"


def test_other_parts_are_not_judged():
    torso = {"torso/linear": {"w": np.zeros((4, 5)), "b": np.ones(5)}}
    gradient = gradient_of(0)
    assert check_active_units({**torso, **gradient}).table == check_active_units(gradient).table
