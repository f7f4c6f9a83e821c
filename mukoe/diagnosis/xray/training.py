"""Main numbers of several checkpoints of a run."""

import dataclasses
from collections.abc import Callable

import numpy as np

from mukoe.diagnosis.xray.calibration import correlation
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.decisions import differs
from mukoe.diagnosis.xray.model_error import (
    Unroller,
    divergences,
    reward_errors,
    value_errors,
)
from mukoe.diagnosis.xray.results import (
    Estimate,
    Figure,
    Section,
    Series,
    estimate,
    estimate_of_groups,
)
from mukoe.diagnosis.xray.returns import play
from mukoe.diagnosis.xray.trajectories import LEAST_STEPS, Recorder
from mukoe.diagnosis.xray.variants import with_search
from mukoe.layouts.common.stored_run import StoredRun, open_run
from mukoe.learning.checkpoint import Checkpointer
from mukoe.zoo import is_entry

_HEADING = "Over training"


def measure_training(
    recorder: Recorder, unroller: Unroller, config: XrayConfig, stop: Callable[[], bool]
) -> Section:
    """Measures the main numbers of the stored checkpoints.

    Args:
      recorder: search of the run; it ends with the parameters of another checkpoint.
      unroller: model of the run.
      config: settings.
      stop: returns True when the budget is spent.
    """
    run = recorder.run
    folder = run.workdir / "checkpoints"
    steps = [] if is_entry(run.workdir) else Checkpointer(folder).spread_steps(config.checkpoints)
    if len(steps) < 2:
        return Section("training", _HEADING, "The run has one checkpoint.")
    measured: list[tuple[int, dict[str, Estimate]]] = []
    policies = {
        "with search": run.make_policy(),
        "without search": with_search(run, num_simulations=0).make_policy(),
    }
    # The ends of the curve first.
    for step in sorted(steps, key=lambda step: (step not in (steps[0], steps[-1]), step)):
        if stop():
            break
        other = dataclasses.replace(run, params=open_run(run.workdir, step=step).params)
        returns = {name: play(other, config, stop, policy) for name, policy in policies.items()}
        values = {name: r.values for name, r in returns.items() if r is not None}
        if len(values) < 2:
            break
        found = {name: estimate(each) for name, each in values.items()}
        found["gain"] = estimate(values["with search"] - values["without search"])
        recorder.set_params(other.params)
        measured.append((step, found | _search_numbers(recorder, unroller, other, config, stop)))
    recorder.set_params(run.params)
    if not measured:
        return Section("training", _HEADING, "The budget ended before the first checkpoint.")
    measured.sort()
    text = (
        f"{len(measured)} of {len(steps)} checkpoints; episodes with equal seeds. Errors of the "
        "model are means over the unroll along the agent's own actions."
    )
    figures = [
        Figure(name, title, "learner steps", [_series(measured, line) for line in lines])
        for name, title, lines in _FIGURES
        if all(line in found for _, found in measured for line in lines)
    ]
    return Section("training", _HEADING, text, figures)


_FIGURES = [
    ("return", "Return", ("with search", "without search")),
    ("gain", "Gain in return by the search", ("gain",)),
    ("changes", "Share of decisions that the search changes", ("changes",)),
    ("prior_divergence", "KL(search policy, prior), nats", ("divergence",)),
    ("correlation", "Correlation of value and return", ("correlation",)),
    ("value_error_over_training", "Value of the model less the return", ("value error",)),
    ("reward_error_over_training", "Absolute error of the reward", ("reward error",)),
    ("policy_over_training", "KL(policy of the observation, unrolled), nats", ("policy error",)),
]
"""Name, title and lines of each figure."""


def _search_numbers(
    recorder: Recorder,
    unroller: Unroller,
    run: StoredRun,
    config: XrayConfig,
    stop: Callable[[], bool],
) -> dict[str, Estimate]:
    own = recorder.record(config, 4 * LEAST_STEPS, False, stop)
    steps, discount = own.acted, run.config.agent.discount
    streams = own.streams[steps]
    value = correlation(own.search["root_value"][steps], own.returns(discount)[steps])
    found = {
        "changes": estimate_of_groups(differs(own)[steps], streams),
        "divergence": estimate_of_groups(own.search["search_prior_kl"][steps], streams),
        "correlation": Estimate(value, value, value, int(steps.sum())),
    }
    unrolled = unroller(run.params.network, own)
    if isinstance(unrolled, str):
        return found
    for name, errors in (
        ("value error", value_errors(unrolled)),
        ("reward error", reward_errors(unrolled)),
        ("policy error", divergences(unrolled)[:, 1:]),
    ):
        if errors.size and np.isfinite(errors).all():
            found[name] = estimate_of_groups(errors.mean(axis=1), unrolled.stream)
    return found


def _series(measured: list[tuple[int, dict[str, Estimate]]], name: str) -> Series:
    return Series(
        name, [float(step) for step, _ in measured], [found[name] for _, found in measured]
    )
