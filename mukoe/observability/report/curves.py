"""Learning curves, and their mean over seeds."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mukoe.observability.bootstrap import bootstrap_interval, mean
from mukoe.observability.report.runs import Run

ACTOR_STEPS = "actor_steps"
LEARNER_STEPS = "learner_steps"
MINUTES = "minutes"

_MIN_SEEDS_FOR_BOOTSTRAP = 4
# Ratio of the lengths of curves above which the shortest one is squeezed on a linear axis.
_WIDE = 4.0


@dataclasses.dataclass(frozen=True)
class Curve:
    """Points of one quantity over steps or minutes.

    x: `[N]` finite, non-decreasing.
    y: `[N]` finite.
    """

    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Band:
    """Mean over seeds with an interval.

    x: `[P]` steps or minutes.
    mean: `[P]` mean over seeds.
    low, high: `[P]` ends of the interval.
    interval: description of the interval.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    interval: str


def curve_of(run: Run, kind: str, column: str, axis: str, smooth: int = 1) -> Curve:
    """Returns one logged quantity of all nodes of a kind.

    Rows of several nodes are merged in the order of `axis`. Each value is then averaged over as
    many neighbours as there are nodes, times `smooth`.

    Args:
      run: run with logs.
      kind: kind of node, such as `actor`.
      column: name of the quantity in the logs.
      axis: `ACTOR_STEPS`, `MINUTES` or another column.
      smooth: factor of the averaging window.
    """
    logs = [log for log in run.kind(kind) if column in log.columns]
    xs, ys = [np.zeros(0)], [np.zeros(0)]
    for log in logs:
        missing = np.full(log.columns[column].shape, np.nan)
        x = log.columns.get("wall_time" if axis == MINUTES else axis, missing)
        x = x / 60 if axis == MINUTES else x
        kept = np.isfinite(x) & np.isfinite(log.columns[column])
        xs.append(x[kept])
        ys.append(log.columns[column][kept])
    x, y = np.concatenate(xs), np.concatenate(ys)
    order = np.argsort(x, kind="stable")
    return Curve(x[order], moving_mean(y[order], smooth * max(len(logs), 1)))


def is_wide(curves: Sequence[Curve]) -> bool:
    """Returns whether a figure of the curves needs a logarithmic horizontal axis.

    It does if the longest curve ends at more than 4 times the end of the shortest one.
    """
    ends = [float(curve.x[-1]) for curve in curves if len(curve.x) and curve.x[-1] > 0]
    return bool(ends) and max(ends) > _WIDE * min(ends)


def carry(curve: Curve, x: float) -> Curve:
    """Returns a curve that keeps its final value up to `x`, with at most 100 points."""
    if not len(curve.x) or curve.x[-1] >= x:
        return curve
    curve = thin(curve, 99)
    return Curve(np.append(curve.x, x), np.append(curve.y, curve.y[-1]))


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the centred moving mean `[N]` of values `[N]`.

    Args:
      values: `[N]`.
      window: length of the window. Even lengths are increased by one. At both ends the window
        shrinks symmetrically.
    """
    half = np.minimum(min(window // 2, len(values)), np.arange(len(values)))
    half = np.minimum(half, half[::-1])
    sums = np.concatenate([[0.0], np.cumsum(values)])
    middle = np.arange(len(values))
    return (sums[middle + half + 1] - sums[middle - half]) / (2 * half + 1)


def thin(curve: Curve, most: int = 100) -> Curve:
    """Returns at most `most` points, each the mean of neighbouring points."""
    if len(curve.x) <= most:
        return curve
    starts = np.linspace(0, len(curve.x), most, endpoint=False).astype(int)
    counts = np.diff(starts, append=len(curve.x))
    return Curve(
        np.add.reduceat(curve.x, starts) / counts,
        np.add.reduceat(curve.y, starts) / counts,
    )


def over_seeds(
    curves: Sequence[Curve], num_points: int = 100, logarithmic: bool = False
) -> Band | None:
    """Returns the mean over curves on their common range; None if there is no such range.

    Curves with more than `num_points` points are thinned. All curves are interpolated linearly
    at `num_points` positions.

    Args:
      curves: curves of the seeds.
      num_points: number of positions.
      logarithmic: True for positions with equal ratios instead of equal distances, from the first
        positive one on.
    """
    curves = [thin(curve, num_points) for curve in curves]
    if len(curves) < 2 or any(len(curve.x) < 2 for curve in curves):
        return None
    first = max(float(curve.x[0]) for curve in curves)
    last = min(float(curve.x[-1]) for curve in curves)
    if not first < last:
        return None
    if logarithmic:
        positive = np.concatenate([curve.x[curve.x > 0] for curve in curves])
        x = np.geomspace(max(first, float(positive.min())), last, num_points)
    else:
        x = np.linspace(first, last, num_points)
    values = np.stack([np.interp(x, curve.x, curve.y) for curve in curves])
    low, high, interval = seed_interval(values)
    return Band(x, values.mean(axis=0), low, high, interval)


def seed_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns an interval over seeds.

    It is the 95 % bootstrap interval of the mean for four seeds or more, else the range. The
    bootstrap is seeded, so the same values give the same interval.

    Args:
      values: `[N, P]` values of `N` seeds.

    Returns:
      The lower and the upper end, `[P]` each, and a description.
    """
    if len(values) < _MIN_SEEDS_FOR_BOOTSTRAP:
        return values.min(axis=0), values.max(axis=0), "lowest to highest seed"
    low, high = bootstrap_interval(values.T, mean, np.random.default_rng(0))
    return low, high, "95% bootstrap interval of the mean"


def first_reached(run: Run, threshold: float, axis: str) -> tuple[float, float] | None:
    """Returns the steps on `axis` and the minutes of the first evaluation at `threshold`."""
    for log in run.kind("evaluator"):
        returns = log.columns.get("episode_return", np.zeros(0))
        missing = np.full(returns.shape, np.nan)
        reached = np.flatnonzero(returns >= threshold)
        if reached.size:
            steps = log.columns.get(axis, missing)[reached[0]]
            return float(steps), float(log.columns.get("wall_time", missing)[reached[0]] / 60)
    return None
