"""Statistics of episode scores with bootstrap intervals.

The statistics are those recommended by Agarwal et al. 2021 (arXiv:2108.13264), computed as in
their library `rliable`.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from mukoe.observability.bootstrap import Statistic, bootstrap_interval, mean
from mukoe.types import Array


def iqm(values: Array) -> Any:
    """Returns the interquartile mean over the last axis, `[..., N] -> [...]`.

    It leaves out the lowest and the highest `floor(N / 4)` values, as
    `scipy.stats.trim_mean(values, 0.25)` does.
    """
    ordered = np.sort(values, axis=-1)
    count = ordered.shape[-1]
    cut = math.floor(count / 4)
    return np.mean(ordered[..., cut : count - cut], axis=-1)


@dataclasses.dataclass(frozen=True)
class ScoreStatistics:
    """Summary of the scores of several episodes.

    mean: mean score.
    std: population standard deviation.
    median: median score.
    iqm: interquartile mean.
    ci95: 95 % percentile bootstrap interval of the mean.
    iqm_ci95: 95 % percentile bootstrap interval of the interquartile mean.
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
    """Returns the statistics of episode scores.

    Args:
      scores: `[N]`.
      rng: generator of the bootstrap resamples.
      strata: `[N]` labels, as in `bootstrap_interval`.
    """
    scores = np.asarray(scores, np.float64)
    return ScoreStatistics(
        mean=float(mean(scores)),
        std=float(np.std(scores)),
        median=float(np.median(scores)),
        iqm=float(iqm(scores)),
        ci95=_interval(scores, mean, rng, strata),
        iqm_ci95=_interval(scores, iqm, rng, strata),
    )


def _interval(
    scores: np.ndarray, statistic: Statistic, rng: np.random.Generator, strata: Array | None
) -> tuple[float, float]:
    low, high = bootstrap_interval(scores, statistic, rng, strata)
    return float(low), float(high)
