"""Logs and checkpoints of a run, without columns that depend on the speed of the machine."""

import jax
import numpy as np

from mukoe.learning.checkpoint import Checkpointer
from tests.real_programs import rows

LABELS = ("actor_0", "learner", "evaluator")
_MACHINE_DEPENDENT = (
    *("wall_time", "steps_per_second", "time_"),
    *("acting_seconds", "learning_seconds", "evaluation_seconds", "environment_cpu"),
)


def rows_of(workdir, label):
    return [
        {k: v for k, v in row.items() if not k.startswith(_MACHINE_DEPENDENT)}
        for row in rows(workdir, label)
    ]


def logged(workdir):
    return {label: rows_of(workdir, label) for label in LABELS}


def final_state(workdir):
    """The arrays of the newest checkpoint."""
    return jax.tree.leaves(Checkpointer(workdir / "checkpoints")._latest.read(None)[1])


def assert_same_state(left, right):
    """Bit for bit."""
    states = final_state(left), final_state(right)
    assert len(states[0]) == len(states[1]) > 10
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)
