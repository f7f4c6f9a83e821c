"""Seeds of the parts of a run."""

import jax
import numpy as np

from mukoe.layouts.common.experiment import RunConfig
from mukoe.layouts.common.seeds import SeededPart, learner_key, random_seed


def test_seeds_differ_by_part_index_resume_restart_and_run():
    run = RunConfig(seed=3)
    seeds = [
        random_seed(run, {}, part, *index) for part in SeededPart for index in ((), (1,), (2,))
    ]
    seeds += [
        random_seed(run, {"actor_steps": 10}, SeededPart.ACTOR),
        random_seed(run, {}, SeededPart.ACTOR, restarts=1),
        random_seed(RunConfig(seed=4), {}, SeededPart.ACTOR),
    ]
    assert len(set(seeds)) == len(seeds)


def test_seeds_are_those_of_stored_runs():
    """A resumed run has the environments of the version that started it."""
    sequence = np.random.SeedSequence((3, 10, 1, 2))
    expected = int(sequence.generate_state(1)[0])
    run = RunConfig(seed=3)
    assert random_seed(run, {"actor_steps": 10}, SeededPart.ENVIRONMENT, 2) == expected
    np.testing.assert_array_equal(learner_key(run), jax.random.PRNGKey(3))
