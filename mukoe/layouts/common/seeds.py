"""Random seeds: every seed of a run follows from `run.seed`."""

import enum
from collections.abc import Mapping

import chex
import jax
import numpy as np

from mukoe.layouts.common.experiment import RunConfig

_RESTART = 1 << 16


class SeededPart(enum.IntEnum):
    """Parts of a run that draw random numbers."""

    ACTOR = 0
    ENVIRONMENT = 1
    EVALUATOR = 2
    REPLAY = 3
    INFERENCE = 4
    REANALYSIS = 5
    DEMONSTRATIONS = 6


def random_seed(
    run: RunConfig,
    counts: Mapping[str, int],
    part: SeededPart,
    *indices: int,
    restarts: int = 0,
) -> int:
    """Returns the seed of a part; it changes with each resume and each restart.

    Args:
      run: settings of the run.
      counts: counts at the start of this process; empty unless the run is resumed.
      part: the part that is seeded.
      indices: numbers that distinguish parts of a kind, such as the index of an actor.
      restarts: restarts of the process so far.
    """
    path = (run.seed, counts.get("actor_steps", 0), part, *indices)
    if restarts:
        path = (*path, _RESTART + restarts)
    return int(np.random.SeedSequence(path).generate_state(1)[0])


def learner_key(run: RunConfig) -> chex.PRNGKey:
    """Returns the key of the initial parameters and of the losses."""
    return jax.random.PRNGKey(run.seed)
