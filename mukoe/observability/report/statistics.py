"""Curves of one number, and what several seeds say together."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mukoe.observability.report.runs import Run

ACTOR_STEPS = "actor_steps"
MINUTES = "minutes"

_FEWEST_FOR_BOOTSTRAP = 4


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line; `x` and `y` are `[N]` and finite, `x` does not fall."""

    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Band:
    """The mean over seeds with an interval.

    x, mean, low, high: `[P]`.
    interval: what low and high are, in words.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    interval: str


def curve_of(run: Run, kind: str, column: str, axis: str, smooth: int = 1) -> Curve:
    """Returns a column of all nodes of a kind, over the steps of all actors or over minutes.

    Rows of several nodes are put in one order, and averaged over as many neighbours as there
    are nodes; `smooth` times as many where it is above 1.
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


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the mean `[N]` of each value and its neighbours.

    The window is centred, of odd length (an even one is made longer by one), and shorter at
    both ends, where it stays centred.
    """
    half = np.minimum(min(window // 2, len(values)), np.arange(len(values)))
    half = np.minimum(half, half[::-1])
    sums = np.concatenate([[0.0], np.cumsum(values)])
    middle = np.arange(len(values))
    return (sums[middle + half + 1] - sums[middle - half]) / (2 * half + 1)


def thin(curve: Curve, most: int = 100) -> Curve:
    """Returns at most so many points, each the mean of its neighbours."""
    if len(curve.x) <= most:
        return curve
    starts = np.linspace(0, len(curve.x), most, endpoint=False).astype(int)
    counts = np.diff(starts, append=len(curve.x))
    return Curve(
        np.add.reduceat(curve.x, starts) / counts,
        np.add.reduceat(curve.y, starts) / counts,
    )


def over_seeds(curves: Sequence[Curve], num_points: int = 100) -> Band | None:
    """Returns the mean over curves where all of them have data, None if they share nothing.

    Curves of more points are thinned, and then interpolated linearly. The interval is a
    bootstrap one for four and more curves, and from the lowest to the highest for fewer.
    """
    curves = [thin(curve, num_points) for curve in curves]
    if len(curves) < 2 or any(len(curve.x) < 2 for curve in curves):
        return None
    first = max(float(curve.x[0]) for curve in curves)
    last = min(float(curve.x[-1]) for curve in curves)
    if not first < last:
        return None
    x = np.linspace(first, last, num_points)
    values = np.stack([np.interp(x, curve.x, curve.y) for curve in curves])
    low, high, interval = interval_of(values)
    return Band(x, values.mean(axis=0), low, high, interval)


def interval_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns the lower and upper ends `[P]` for values `[N, P]` of N seeds, and what they are."""
    if len(values) < _FEWEST_FOR_BOOTSTRAP:
        return values.min(axis=0), values.max(axis=0), "lowest to highest seed"
    low, high = bootstrap_interval(values)
    return low, high, "95% bootstrap interval of the mean"


def bootstrap_interval(
    values: np.ndarray, level: float = 0.95, resamples: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the percentile bootstrap interval `[P]`, `[P]` of the mean of values `[N, P]`.

    Seeds are drawn whole, the same ones at every point; the draws are always the same.
    """
    num_seeds = len(values)
    random = np.random.default_rng(0)
    counts = random.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=resamples)
    means = counts @ values / num_seeds
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def first_reached(run: Run, threshold: float) -> tuple[float, float] | None:
    """Returns steps of all actors and minutes of the first evaluation at a return or above it."""
    for log in run.kind("evaluator"):
        returns = log.columns.get("episode_return", np.zeros(0))
        missing = np.full(returns.shape, np.nan)
        reached = np.flatnonzero(returns >= threshold)
        if reached.size:
            steps = log.columns.get(ACTOR_STEPS, missing)[reached[0]]
            return float(steps), float(log.columns.get("wall_time", missing)[reached[0]] / 60)
    return None
