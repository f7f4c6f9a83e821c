"""Errors of the values on the rows of replay beside those on new rows.

An update sees the rows of replay again and again. A network that memorises them predicts their
targets well and those of new rows badly. New rows are beginnings of episodes where these are long.
"""

import math

import jax
import numpy as np

from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject

NUM_BATCHES = 8
"""Batches of either kind."""

_CHECK = "values hold for new rows"
_METRIC = "value_error"
# Ratio of the errors above which a network memorises.
_MOST_RATIO = 1.2
# Standard errors of their difference that it has to exceed.
_LEAST_DEVIATIONS = 2.0


def check_memorisation(stored: Subject, new: Subject) -> Finding:
    """Compares the mean error of the values on stored rows and on new ones.

    Args:
      stored: agent with the replay of its run.
      new: same agent, with rows that no update has seen.
    """
    return judge_errors(value_errors(stored), value_errors(new))


def value_errors(subject: Subject) -> np.ndarray:
    """Returns the mean errors of the values `[N]` of all batches; empty if the loss has none."""
    builder = subject.experiment.builder
    loss = builder.make_loss(subject.networks, subject.environment_spec)
    state = builder.learner_settings(subject.networks).loss_state
    extra = (state,) if jax.tree.leaves(state) else ()
    metrics = jax.jit(lambda *args: loss(*args)[1].metrics)
    errors = []
    for index, sample in enumerate((subject.sample, *subject.more_samples)):
        sample = sample._replace(learner_steps=np.int32(0))
        key = jax.random.PRNGKey(index)
        found = metrics(subject.params, subject.params, sample, key, *extra)
        if _METRIC not in found:
            return np.zeros(0)
        errors.append(found[_METRIC])
    return np.array(errors, np.float64)


def judge_errors(stored: np.ndarray, new: np.ndarray) -> Finding:
    """Judges the errors `[N]` of batches of stored rows and of new rows."""
    if not stored.size or not stored.mean():
        return Finding(_CHECK, "unknown", "the loss has no error of values")
    means = [float(errors.mean()) for errors in (stored, new)]
    deviations = [float(errors.std(ddof=1)) / len(errors) ** 0.5 for errors in (stored, new)]
    table = [["rows", "mean absolute error", "standard error"]]
    for name, mean, deviation in zip(("stored", "new"), means, deviations, strict=True):
        table.append([name, f"{mean:.3g}", f"{deviation:.2g}"])
    text = f"error {means[0]:.3g} on stored rows, {means[1]:.3g} on new ones"
    certain = means[1] - means[0] > _LEAST_DEVIATIONS * math.hypot(*deviations)
    if means[1] > _MOST_RATIO * means[0] and certain:
        text += (
            ": the network memorises its replay; set agent.augmentation.shift=4 for images, a "
            "smaller agent.replay.samples_per_insert or a larger agent.replay.capacity"
        )
        return Finding(_CHECK, "fault", text, table)
    return Finding(_CHECK, "ok", text, table)
