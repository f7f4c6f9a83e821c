"""Statistics of scores over episodes, with bootstrap intervals.

What Agarwal et al. 2021 (arXiv:2108.13264) ask evaluations to give, computed as their library
`rliable` does.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mukoe.types import Array

NUM_RESAMPLES = 2_000
CONFIDENCE = 0.95

_MAX_DRAWN = 2_000_000

Statistic = Callable[[np.ndarray], Any]
"""`values [..., N] -> [...]`."""


def mean(values: Array) -> Any:
    """Returns the mean over the last axis, `[..., N] -> [...]`."""
    return np.mean(values, axis=-1)


def iqm(values: Array) -> Any:
    """Returns the interquartile mean over the last axis, `[..., N] -> [...]`.

    The mean of what is left without the lowest and the highest `floor(N / 4)` values, as
    `scipy.stats.trim_mean(values, 0.25)`.
    """
    ordered = np.sort(values, axis=-1)
    count = ordered.shape[-1]
    cut = math.floor(count / 4)
    return np.mean(ordered[..., cut : count - cut], axis=-1)


def bootstrap_interval(
    values: Array,
    statistic: Statistic,
    rng: np.random.Generator,
    strata: Array | None = None,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of a statistic.

    Args:
      values: `[N]`.
      statistic: such as `mean` or `iqm`.
      rng: draws the resamples.
      strata: `[N]` labels, such as seats or tasks; each resample has as many values of each
        label as `values`. None for one stratum.
      num_resamples: bootstrap resamples.
      confidence: part of the statistic's distribution inside of the interval.
    """
    values = np.asarray(values, np.float64)
    groups = [values]
    if strata is not None:
        strata = np.asarray(strata)
        groups = [values[strata == label] for label in np.unique(strata)]
    chunk = max(1, _MAX_DRAWN // len(values))
    found = []
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        drawn = [group[rng.integers(len(group), size=(rows, len(group)))] for group in groups]
        found.append(statistic(np.concatenate(drawn, axis=-1)))
    low, high = percentile_interval(np.concatenate(found), confidence)
    return float(low), float(high)


def percentile_interval(
    resampled: Array, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the central interval of bootstrapped statistics `[R, ...]`: two of `[...]`."""
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    return low, high


@dataclasses.dataclass(frozen=True)
class ScoreStatistics:
    """Scores of several episodes in a few numbers.

    mean, median: of the scores.
    std: population standard deviation.
    iqm: interquartile mean.
    ci95: 95 % percentile bootstrap interval of the mean.
    iqm_ci95: that of the interquartile mean.
    """

    mean: float
    std: float
    median: float
    iqm: float
    ci95: tuple[float, float]
    iqm_ci95: tuple[float, float]


def score_statistics(
    scores: Array, rng: np.random.Generator, strata: Array | None = None
) -> ScoreStatistics:
    """Returns the statistics of scores `[N]`; see `bootstrap_interval` for the others."""
    scores = np.asarray(scores, np.float64)
    return ScoreStatistics(
        mean=float(mean(scores)),
        std=float(np.std(scores)),
        median=float(np.median(scores)),
        iqm=float(iqm(scores)),
        ci95=bootstrap_interval(scores, mean, rng, strata),
        iqm_ci95=bootstrap_interval(scores, iqm, rng, strata),
    )
