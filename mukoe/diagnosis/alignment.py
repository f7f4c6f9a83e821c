"""Predictions of an overfitted model beside targets, shifted and with other signs.

A model that has overfitted a batch predicts what its loss taught it. If its predictions
agree with another row, or another sign, than the right one, the loss has that fault. Where equal
inputs (observation and actions since then) have different targets, such as those of states whose
return depends on the next action, only the mean of these targets can be learned.
"""

from collections.abc import Hashable, Mapping, Sequence

import jax
import numpy as np

from mukoe.agents.extensions import Unroll, UnrollPredictions, Unrolls
from mukoe.diagnosis.divergence import kl
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.diagnosis.targets import as_numpy, n_step_return
from mukoe.types import Params, Row, plays_in_turns

_REWARDS, _VALUES = "rewards at the right step", "values with the right sign"
_POLICIES, _ENDS = "policies at the right step", "the end of an episode is worth 0"
_TINY = 1e-6
# Another hypothesis, and a learned prediction, have to be better by this factor.
_MARGIN = 0.5
_REMEDY = "unless they are with more --updates"
# Share of the spread of the targets that the inputs have to explain.
_LEARNABLE = 0.1


def predict(subject: Subject, params: Params) -> UnrollPredictions:
    """Returns the predictions of the batch, as NumPy arrays."""
    return jax.tree.map(np.asarray, _unroll(subject)(params, subject.sample.rows))


def _unroll(subject: Subject) -> Unroll:
    builder = subject.experiment.builder
    assert isinstance(builder, Unrolls)
    return jax.jit(builder.make_unroll(subject.networks, subject.environment_spec))


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
    return judge(_REWARDS, "rewards", prediction, target, others, inputs, varied=True)


def target_values(subject: Subject, params: Params) -> np.ndarray:
    """Returns the network's values `[B, T]` of all rows, the bootstrap of a target network.

    Row `t` is the root of the batch whose rows are moved back by `t`.
    """
    rows, first = subject.sample.rows, subject.experiment.builder.replay.history
    length = rows.mask.shape[1]
    values, unroll = np.zeros(rows.mask.shape), _unroll(subject)
    for t in range(first, length):
        moved = jax.tree.map(lambda x, by=t - first: np.roll(np.asarray(x), -by, axis=1), rows)
        values[:, t] = unroll(params, moved).values[:, 0]
    return values


def check_policies(subject: Subject, predictions: UnrollPredictions, best: bool) -> Finding:
    """Compares predicted policies with the search policies of the row, of the next and previous.

    Args:
      subject: agent under diagnosis.
      predictions: predictions of the overfitted model.
      best: True if the target is the best action of the search alone.
    """
    rows, first = as_numpy(subject), subject.experiment.builder.replay.history
    stored = rows.extras.get("search_policy")
    predicted = np.asarray(jax.nn.softmax(predictions.policy_logits))
    if stored is None or "search_candidates" in rows.extras:
        return Finding(_POLICIES, "unknown", "the rows hold no search policies over all actions")
    if best:
        stored = np.eye(stored.shape[-1])[stored.argmax(axis=-1)]
    places = [
        (b, k)
        for b, k in np.ndindex(predicted.shape[:2])
        if first + k >= 1 and rows.mask[b, first + k] > 0
    ]
    if not places:
        return Finding(_POLICIES, "unknown", "the batch has no two rows of an episode")
    at = np.array(places).T
    prediction, b, t = predicted[at[0], at[1]], at[0], first + at[1]
    target, before, after = stored[b, t], stored[b, t - 1], stored[b, t + 1]
    known = {"before": rows.mask[b, t - 1] > 0, "after": rows.mask[b, t + 1] > 0}
    inputs = [inputs_of(rows, b, first, k) for b, k in places]
    error = kl(target, prediction, _TINY)
    learnable = kl(target, learnable_mean(target, inputs), _TINY).mean()
    constant = kl(target, target.mean(axis=0), _TINY).mean()
    others = {
        f"the search policy of the row {name}": (kl(other, prediction, _TINY), known[name])
        for name, other in (("before", before), ("after", after))
    }
    table = [
        ["predictions and", "mean KL, nats"],
        ["search policies of the row", f"{error.mean():.3g}"],
        *(
            [name, f"{nats[rows_with].mean():.3g}" if rows_with.any() else "–"]
            for name, (nats, rows_with) in others.items()
        ),
        ["their mean, from the targets", f"{constant:.3g}"],
        ["their mean for equal inputs, from the targets", f"{learnable:.3g}"],
    ]
    for name, (nats, rows_with) in others.items():
        if rows_with.any() and nats[rows_with].mean() < _MARGIN * error[rows_with].mean():
            text = f"the model has learned {name}: KL {nats[rows_with].mean():.3g}"
            return Finding(_POLICIES, "fault", f"{text}, not {error.mean():.3g}", table)
    text = f"KL {error.mean():.3g} nats, of their mean {constant:.3g}"
    if constant - learnable < max(_LEARNABLE * constant, 1e-3):
        return Finding(_POLICIES, "unknown", f"{text}: equal inputs have other policies", table)
    if error.mean() - learnable > _MARGIN * (constant - learnable):
        text = f"{text}: the search policies are not learned, {_REMEDY}"
        return Finding(_POLICIES, "fault", text, table)
    return Finding(_POLICIES, "ok", text, table)


def check_ends(subject: Subject, predictions: UnrollPredictions) -> Finding:
    """Compares predicted values behind a termination with 0, as the search reads them."""
    rows, first = as_numpy(subject), subject.experiment.builder.replay.history
    steps = predictions.values.shape[1]
    mask = rows.mask[:, first : first + steps]
    terminates = mask * (rows.discount[:, first : first + steps] == 0)
    behind = (np.cumsum(terminates, axis=1) - terminates) > 0
    discounts = np.cumprod(predictions.discounts != 0, axis=1) > 0
    behind[:, 1:] &= discounts[:, : steps - 1]  # A search of the rules ends there by itself.
    if not behind.any() or not (mask > 0).any():
        return Finding(_ENDS, "unknown", "no unroll of the batch goes beyond an end")
    there = float(np.mean(np.abs(predictions.values[behind])))
    elsewhere = float(np.mean(np.abs(predictions.values[mask > 0])))
    text = f"mean absolute value {there:.3g} behind the end, {elsewhere:.3g} before"
    if elsewhere < _TINY:
        return Finding(_ENDS, "unknown", f"{text}: all values are 0")
    if there > _MARGIN * elsewhere:
        text += f": states behind the end are not learned, {_REMEDY}"
        return Finding(_ENDS, "fault", text)
    return Finding(_ENDS, "ok", text)


def check_values(
    subject: Subject,
    predictions: UnrollPredictions,
    steps: int,
    discount: float,
    values: np.ndarray | None = None,
) -> Finding:
    """Compares predicted values with n-step returns of the right and of other signs.

    Args:
      subject: agent under diagnosis.
      predictions: predictions of the overfitted model.
      steps: `n` of the n-step return.
      discount: discount per step.
      values: `[B, T]` bootstrap of all rows; None for the stored search values.
    """
    rows, first = as_numpy(subject), subject.experiment.builder.replay.history
    one_player = rows._replace(discount=np.abs(rows.discount))
    values = rows.extras["search_value"] if values is None else values
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


def learnable_mean(target: np.ndarray, inputs: Sequence[Hashable]) -> np.ndarray:
    """Returns the mean target `[N, ...]` of equal inputs."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(inputs):
        groups.setdefault(key, []).append(index)
    means = np.empty_like(target)
    for members in groups.values():
        means[members] = target[members].mean(axis=0)
    return means


def judge(
    check: str,
    noun: str,
    prediction: np.ndarray,
    target: np.ndarray,
    others: Mapping[str, np.ndarray],
    inputs: Sequence[Hashable],
    varied: bool = False,
) -> Finding:
    """Judges predictions `[N]` beside their targets `[N]` and beside other ones, by name.

    A prediction of nearly one number is near to any target that is nearly constant: with `varied`,
    the finding says so.
    """
    if np.ptp(target) == 0:
        return Finding(check, "unknown", f"all targets of the {noun} are equal in the batch")
    learnable = np.mean(np.abs(target - learnable_mean(target, inputs)))
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
    spread = {name: np.mean(np.abs(other - np.median(other))) for name, other in others.items()}
    best = min(errors, key=lambda name: errors[name])
    if errors[best] < _MARGIN * error:
        nothing = ", or nothing" if varied and errors[best] >= _MARGIN * spread[best] else ""
        text = (
            f"the model has learned {best}{nothing}: difference {errors[best]:.3g}, not {error:.3g}"
        )
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
