"""Counts of a restarted counter, end of the program at the step limit, reports of replay."""

import json

import numpy as np
import pytest

from mukoe.layouts.common.experiment import ExperimentConfig, RunConfig
from mukoe.layouts.distributed.nodes import counter as counter_module
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.counter import CounterNode
from mukoe.learning.checkpoint import Checkpointer
from tests.layouts.distributed.nodes.fakes import FakeReplayService, FakeRuntime


@pytest.mark.parametrize(
    ("stored", "saved", "known"),
    [
        ({"learner_steps": 10, "actor_steps": 7}, 12, {"learner_steps": 12, "actor_steps": 7}),
        ({"learner_steps": 14, "actor_steps": 7}, 12, {"learner_steps": 14, "actor_steps": 7}),
        (None, 12, {"learner_steps": 12, "actor_steps": 5}),
        ({"actor_steps": 7}, None, {"learner_steps": 0, "actor_steps": 7}),
    ],
)
def test_restarted_counter_has_its_counts_or_those_of_a_later_checkpoint(
    stored, saved, known, tmp_path
):
    if stored:
        (tmp_path / "counts.json").write_text(json.dumps(stored))
    if saved:
        checkpointer = Checkpointer(tmp_path / "checkpoints")
        checkpointer.save(saved, {"weight": np.ones(1)})
        checkpointer.close()
    context = NodeContext(FakeRuntime(restarts=1), None, None, tmp_path, {"actor_steps": 5})
    assert CounterNode(context, FakeReplayService()).get_counts() == known


@pytest.mark.parametrize(
    ("statistics", "reports"),
    [(None, {}), ((3, 4, 6), {"replay_size": 3, "samples_per_insert": 1.5})],
)
def test_counter_reports_replay_and_stops_the_program_at_the_step_limit(
    statistics, reports, tmp_path, monkeypatch
):
    monkeypatch.setattr(counter_module, "_PERIOD_SECONDS", 0.01)
    experiment = ExperimentConfig(None, None, run=RunConfig(max_actor_steps=10))
    runtime = FakeRuntime()
    context = NodeContext(runtime, experiment, None, tmp_path, {})
    counter = CounterNode(context, FakeReplayService(statistics))
    counter.increment(actor_steps=10)
    counter.run()
    assert runtime.stop_event.is_set()
    assert counter.snapshot() == ({"actor_steps": 10}, {"start_counts": {}, **reports})
    assert json.loads((tmp_path / "counts.json").read_text()) == {"actor_steps": 10}
