"""The warning about clipped targets names share and field, once for each kind."""

import jax.numpy as jnp

from mukoe.observability.clipped_targets import (
    ClippedTargets,
    clipping_notes,
    shares_outside_bins,
)


def test_each_kind_is_reported_once_with_share_and_field(caplog):
    watch = ClippedTargets()
    watch.check({"values_outside_bins": jnp.float32(0.0), "rewards_outside_bins": 0.0})
    assert not caplog.messages
    watch.check({"values_outside_bins": jnp.float32(0.35), "rewards_outside_bins": 0.0})
    watch.check({"values_outside_bins": jnp.float32(0.9), "rewards_outside_bins": 0.004})
    values, rewards = caplog.messages
    assert "35% of the value targets" in values
    assert "agent.network.value_support.minimum" in values
    assert "0.4% of the reward targets" in rewards
    assert "agent.network.reward_support" in rewards


def test_other_metrics_are_ignored(caplog):
    ClippedTargets().check({"loss": 1.0})
    assert not caplog.messages
    assert shares_outside_bins({"loss": 1.0, "values_outside_bins": 0.5}) == {
        "values_outside_bins": 0.5
    }


def test_notes_of_a_run_state_its_highest_share():
    shares = {"values_outside_bins": 0.25, "rewards_outside_bins": 0.0}
    (note,) = clipping_notes(shares.get)
    assert "25% of the value targets" in note
    assert clipping_notes({}.get) == []
