"""How an actor's environments are divided, and what a counter knows that was started again."""

import dataclasses
import json

import launchpad as lp
import numpy as np
import pytest

from mukoe.layouts.common.experiment import DistributedConfig, ExperimentConfig, RunConfig
from mukoe.layouts.distributed.nodes.all_nodes import CounterNode, NodeContext, _parts
from mukoe.layouts.distributed.supervision import supervised
from mukoe.learning.checkpoint import Checkpointer


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


@pytest.mark.parametrize(
    ("stored", "saved", "known"),
    [
        ({"learner_steps": 10, "actor_steps": 7}, 12, {"learner_steps": 12, "actor_steps": 7}),
        ({"learner_steps": 14, "actor_steps": 7}, 12, {"learner_steps": 14, "actor_steps": 7}),
        (None, 12, {"learner_steps": 12, "actor_steps": 5}),
        ({"actor_steps": 7}, None, {"learner_steps": 0, "actor_steps": 7}),
    ],
)
def test_a_counter_comes_back_with_its_counts_or_those_of_a_later_checkpoint(
    stored, saved, known, tmp_path, monkeypatch
):
    monkeypatch.setattr(lp, "stop_event", lambda: None)
    monkeypatch.setenv(supervised.RESTARTS_VARIABLE, "1")
    if stored:
        (tmp_path / "counts.json").write_text(json.dumps(stored))
    if saved:
        checkpointer = Checkpointer(tmp_path / "checkpoints")
        checkpointer.save(saved, {"weight": np.ones(1)})
        checkpointer.close()
    context = NodeContext(None, None, tmp_path, {"actor_steps": 5})
    assert CounterNode(context, replay=None).get_counts() == known
