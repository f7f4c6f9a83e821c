"""Diagnosis of PPO, which learns from rollouts: a sound agent, and one whose value is cut off."""

import dataclasses
import functools

import numpy as np
import pytest

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.diagnosis.diagnose import diagnose
from mukoe.diagnosis.overfit import Overfitted, check_overfit
from mukoe.diagnosis.rollouts import collect_rollout
from mukoe.diagnosis.rows import check_rows
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig, check_experiment


@functools.cache
def subject(value_weight=0.5):
    config = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=PPOConfig(
            network=PPONetworkConfig(hidden_sizes=(64, 64)),
            loss=PPOLossConfig(value_weight=value_weight, clip_values=False),
            rollout_steps=32,
            epochs=4,
            minibatches=4,
        ),
        run=RunConfig(envs_per_actor=4),
    )
    experiment = config.make_experiment()
    return collect_rollout(experiment, check_experiment(experiment)), config


def verdicts(found):
    return {finding.check: finding.verdict for finding in diagnose(*found, False, 400)}


def test_a_sound_agent_has_no_fault():
    found = verdicts(subject())
    assert found == {
        "rows are the environment's": "ok",
        "supports cover the targets": "unknown",
        "one batch is overfitted": "ok",
        "every part has a gradient": "ok",
    }


def test_a_value_that_the_loss_does_not_reach_is_named():
    found = {finding.check: finding for finding in diagnose(*subject(0.0), False, 10)}
    assert found["one batch is overfitted"].verdict == "fault"
    finding = found["every part has a gradient"]
    assert finding.verdict == "fault" and "value" in finding.text


def test_clipped_values_are_not_judged():
    losses = np.full(10, 3.0)
    finding = check_overfit(Overfitted({}, losses), clips_values=True)
    assert finding.verdict == "unknown" and "agent.loss.clip_values" in finding.text
    assert check_overfit(Overfitted({}, losses)).verdict == "fault"


@pytest.mark.parametrize("field", ["reward", "discount"])
def test_rows_with_another_outcome_are_found(field):
    sound, _ = subject()
    rows = sound.sample.rows
    changed = rows._replace(**{field: getattr(rows, field) * 0.5})
    sample = sound.sample._replace(rows=changed)
    assert check_rows(dataclasses.replace(sound, sample=sample)).verdict == "fault"
