"""How an actor's environments are divided."""

import dataclasses

import pytest

from mukoe.layouts.distributed.nodes import _parts
from mukoe.layouts.experiment import DistributedConfig, ExperimentConfig, RunConfig


@pytest.mark.parametrize(
    ("num_envs", "double_buffering", "served", "parts"),
    [
        (4, None, True, [2, 2]),
        (5, None, True, [3, 2]),
        (1, None, True, [1]),
        (4, None, False, [4]),
        (4, True, False, [2, 2]),
        (4, False, True, [4]),
    ],
)
def test_two_parts_where_they_take_turns(num_envs, double_buffering, served, parts):
    experiment = ExperimentConfig(
        builder=None,
        environment_factory=None,
        run=RunConfig(envs_per_actor=num_envs),
        distributed=dataclasses.replace(DistributedConfig(), double_buffering=double_buffering),
    )
    assert _parts(experiment, served) == parts
