"""Groups of an actor's environments."""

import dataclasses

import pytest

from mukoe.layouts.common.experiment import DistributedConfig, ExperimentConfig, RunConfig
from mukoe.layouts.distributed.nodes.double_buffering import group_sizes


@pytest.mark.parametrize(
    ("num_envs", "double_buffering", "served", "sizes"),
    [
        (4, None, True, [2, 2]),
        (5, None, True, [3, 2]),
        (1, None, True, [1]),
        (4, None, False, [4]),
        (4, True, False, [2, 2]),
        (4, False, True, [4]),
    ],
)
def test_two_groups_with_double_buffering(num_envs, double_buffering, served, sizes):
    experiment = ExperimentConfig(
        builder=None,
        environment_factory=None,
        run=RunConfig(envs_per_actor=num_envs),
        distributed=dataclasses.replace(DistributedConfig(), double_buffering=double_buffering),
    )
    assert group_sizes(experiment, served) == sizes
