"""Calibration of the value: predicted root value beside the discounted return."""

import numpy as np

from mukoe.diagnosis.xray.results import (
    Estimate,
    Figure,
    Row,
    Section,
    Series,
    Table,
    estimate_of_groups,
)
from mukoe.diagnosis.xray.trajectories import Trajectories

_HEADING = "Calibration of the value"
_BINS = 8
_LEAST = 16


def measure_calibration(trajectories: Trajectories, discount: float) -> Section:
    """Compares the values at the agent's own steps with the returns that followed.

    Args:
      trajectories: steps of the agent's own actions.
      discount: discount per step of the agent.
    """
    steps = trajectories.complete()
    if steps.sum() < _LEAST:
        return Section("calibration", _HEADING, "Too few steps of complete episodes were recorded.")
    returns = trajectories.returns(discount)[steps]
    streams = trajectories.streams[steps]
    series: list[Series] = []
    rows: list[Row] = []
    for name, label in (("root_value", "network"), ("search_value", "search")):
        values = trajectories.search[name][steps].astype(np.float64)
        series.append(_binned(label, values, returns, streams))
        difference = values - returns
        rows.append(
            [
                label,
                estimate_of_groups(difference, streams),
                estimate_of_groups(np.abs(difference), streams),
                correlation(values, returns),
            ]
        )
    ends = [min(s.x[0] for s in series), max(s.x[-1] for s in series)]
    series.append(Series("equal", ends, [Estimate(x, x, x, 1) for x in ends]))
    figure = Figure("calibration", "Return by predicted value", "predicted value", series)
    text = (
        f"Discounted returns of {steps.sum():,} steps of complete episodes of the agent's own "
        "actions, in bins of equal size by value. A truncated episode bootstraps from the search "
        "value of its final observation. Intervals over streams."
    )
    columns = ["value of", "bias", "absolute error", "correlation with the return"]
    return Section("calibration", _HEADING, text, [figure], [Table("errors", columns, rows)])


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Returns Pearson's correlation; NaN if one side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _binned(label: str, values: np.ndarray, returns: np.ndarray, streams: np.ndarray) -> Series:
    parts = [part for part in np.array_split(np.argsort(values), _BINS) if len(part)]
    return Series(
        label,
        [float(values[part].mean()) for part in parts],
        [estimate_of_groups(returns[part], streams[part]) for part in parts],
    )
