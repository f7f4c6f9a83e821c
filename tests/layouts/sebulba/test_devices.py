"""Actors and learner on devices of their own, in a process that has eight."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys, dataclasses, pathlib, tempfile; sys.path.insert(0, "tests/layouts/sebulba")
import jax, numpy as np
import corridor as case
from mukoe.layouts import sebulba
from mukoe.layouts.common.experiment import SebulbaConfig

def run(config, **options):
    made = dataclasses.replace(case.experiment(envs_per_actor=4, **options), sebulba=config)
    work = pathlib.Path(tempfile.mkdtemp())
    run = sebulba.make_run(made, sebulba.check(made), work)
    batches = []
    run.learner._samples = map(
        lambda placed: batches.append(placed.sample) or placed, run.learner._samples
    )
    run.start()
    assert run.wait(120)
    run.close()
    return run, batches

config = SebulbaConfig(actor_devices=(0, 3), learner_devices=(1, 2), threads_per_device=2)
made, batches = run(config)
rows = made.updates.dataset.rollouts[0].rows
assert {d.id for d in rows.mask.sharding.device_set} == {1, 2}
assert {d.id for d in made.learner._state.steps.sharding.device_set} == {1, 2}
counts = made.counter.get_counts()
assert counts["actor_steps"] >= 200

# What the learner got is what the threads did, in whatever order.
learned = np.asarray(batches[-1].rows.observation).reshape(16, -1)
rollouts = [np.asarray(rollout.rows.observation) for rollout in made.updates.dataset.rollouts]
acted = np.concatenate(rollouts).reshape(16, -1)
assert len(np.unique(learned, axis=0)) == 16
np.testing.assert_array_equal(np.unique(learned, axis=0), np.unique(acted, axis=0))

one, _ = run(dataclasses.replace(config, learner_devices=(1,), actor_devices=(1, 4)))
assert one.counter.get_counts() == counts
"""


@pytest.mark.slow
def test_actors_and_learner_have_devices_of_their_own():
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
    }
    result = subprocess.run(
        [sys.executable, "-c", _RUN],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
