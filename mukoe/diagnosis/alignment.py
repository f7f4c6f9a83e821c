"""Predictions of an overfitted model beside targets, shifted and with other signs.

A model that has learned a batch by heart predicts what its loss taught it. If its predictions
agree with another row, or another sign, than the right one, the loss has that fault. Where equal
inputs (observation and actions since then) have different targets, such as those of states whose
return depends on the next action, only the mean of these targets can be learned.
"""

from collections.abc import Hashable, Mapping, Sequence

import jax
import numpy as np

from mukoe.agents.extensions import UnrollPredictions, Unrolls
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.diagnosis.targets import as_numpy, n_step_return
from mukoe.types import Params, Row, plays_in_turns

_REWARDS, _VALUES = "rewards at the right step", "values with the right sign"
# Another hypothesis, and a learned prediction, have to be better by this factor.
_MARGIN = 0.5
_REMEDY = "unless they are with more --updates"
# Share of the spread of the targets that the inputs have to explain.
_LEARNABLE = 0.1


def predict(subject: Subject, params: Params) -> UnrollPredictions:
    """Returns the predictions of the batch, as NumPy arrays."""
    builder = subject.experiment.builder
    assert isinstance(builder, Unrolls)
    unroll = builder.make_unroll(subject.networks, subject.environment_spec)
    return jax.tree.map(np.asarray, jax.jit(unroll)(params, subject.sample.rows))


def check_rewards(subject: Subject, predictions: UnrollPredictions) -> Finding:
    """Compares predicted rewards with those of the row, the row before and the row after."""
    rows, first = as_numpy(subject), subject.experiment.builder.replay.history
    predicted = predictions.rewards
    if not predicted.shape[1]:
        return Finding(_REWARDS, "unknown", "the model takes rewards from the rules")
    # Padding has reward 0, as a shifted target would read it.
    rewards = rows.reward * (rows.mask > 0)
    places = [
        (b, k)
        for b, k in np.ndindex(predicted.shape)
        if first + k >= 1 and rows.mask[b, first + k] > 0
    ]
    if not places:
        return Finding(_REWARDS, "unknown", "the batch has no two rows of an episode")
    prediction, before, target, after = np.transpose(
        [(predicted[b, k], *rewards[b, first + k - 1 : first + k + 2]) for b, k in places]
    )
    others = {"the reward of the row before": before, "the reward of the row after": after}
    inputs = [inputs_of(rows, b, first, k + 1) for b, k in places]
    return judge(_REWARDS, "rewards", prediction, target, others, inputs)


def check_values(
    subject: Subject, predictions: UnrollPredictions, steps: int, discount: float
) -> Finding:
    """Compares predicted values with n-step returns of the right and of other signs.

    Args:
      subject: agent under diagnosis.
      predictions: predictions of the overfitted model.
      steps: `n` of the n-step return.
      discount: discount per step.
    """
    rows, first = as_numpy(subject), subject.experiment.builder.replay.history
    one_player = rows._replace(discount=np.abs(rows.discount))
    values = rows.extras["search_value"]
    places = [
        (b, k)
        for b, k in np.ndindex(predictions.values.shape)
        if first + k + steps < rows.mask.shape[1] and rows.mask[b, first + k] > 0
    ]
    if not places:
        return Finding(_VALUES, "unknown", "the batch has no whole return")
    prediction, target, without_turns = np.transpose(
        [
            (
                predictions.values[b, k],
                n_step_return(rows, values, b, first + k, steps, discount),
                n_step_return(one_player, values, b, first + k, steps, discount),
            )
            for b, k in places
        ]
    )
    others = {"returns of the opposite sign": -target}
    if plays_in_turns(subject.environment_spec):
        others["returns of one player"] = without_turns
    inputs = [inputs_of(rows, b, first, k) for b, k in places]
    return judge(_VALUES, "values", prediction, target, others, inputs)


def inputs_of(rows: Row, b: int, first: int, actions: int) -> Hashable:
    """Returns the inputs of a prediction: observations to row `first`, and `actions` after it."""
    leaves = (leaf[b, : first + 1] for leaf in jax.tree.leaves(rows.observation))
    return (*(leaf.tobytes() for leaf in leaves), rows.action[b, : first + actions].tobytes())


def _learnable(target: np.ndarray, inputs: Sequence[Hashable]) -> np.ndarray:
    """Returns the mean target `[N]` of equal inputs."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(inputs):
        groups.setdefault(key, []).append(index)
    means = np.empty(len(target))
    for members in groups.values():
        means[members] = target[members].mean()
    return means


def judge(
    check: str,
    noun: str,
    prediction: np.ndarray,
    target: np.ndarray,
    others: Mapping[str, np.ndarray],
    inputs: Sequence[Hashable],
) -> Finding:
    """Judges predictions `[N]` beside their targets `[N]` and beside other ones, by name."""
    if np.ptp(target) == 0:
        return Finding(check, "unknown", f"all targets of the {noun} are equal in the batch")
    learnable = np.mean(np.abs(target - _learnable(target, inputs)))
    errors = {name: np.mean(np.abs(prediction - other)) for name, other in others.items()}
    error = np.mean(np.abs(prediction - target))
    constant = np.mean(np.abs(target - np.median(target)))
    table = [
        ["predictions and", "mean absolute difference"],
        [f"targets of the {noun}", f"{error:.3g}"],
        *([name, f"{difference:.3g}"] for name, difference in errors.items()),
        ["their median, from the targets", f"{constant:.3g}"],
        ["their mean for equal inputs, from the targets", f"{learnable:.3g}"],
    ]
    best = min(errors, key=lambda name: errors[name])
    if errors[best] < _MARGIN * error:
        text = f"the model has learned {best}: difference {errors[best]:.3g}, not {error:.3g}"
        return Finding(check, "fault", text, table)
    text = f"difference {error:.3g}, with a constant {constant:.3g}"
    if constant - learnable < _LEARNABLE * constant:
        text = (
            f"the {noun} of equal inputs differ by {learnable:.3g}, those of all by {constant:.3g}"
        )
        return Finding(check, "unknown", text, table)
    if error - learnable > _MARGIN * (constant - learnable):
        return Finding(check, "fault", f"{text}: the {noun} are not learned, {_REMEDY}", table)
    return Finding(check, "ok", text, table)
