"""Percentile bootstrap intervals.

Evaluations resample episodes, reports resample seeds (Agarwal et al. 2021, arXiv:2108.13264; the
intervals are those of the library `rliable`).
"""

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


def bootstrap_interval(
    values: Array,
    statistic: Statistic,
    rng: np.random.Generator,
    strata: Array | None = None,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the percentile bootstrap interval of a statistic.

    Args:
      values: `[..., N]` samples on the last axis. All leading axes use the same resamples.
      statistic: function over the last axis, such as `mean`.
      rng: generator of the resamples.
      strata: `[N]` labels, such as seats or tasks. Each resample has as many values of each
        label as `values`. None for one stratum.
      num_resamples: number of bootstrap resamples, `R`.
      confidence: probability mass of the statistic's distribution inside the interval.

    Returns:
      The lower and the upper end, `[...]` each.
    """
    values = np.asarray(values, np.float64)
    groups = [values]
    if strata is not None:
        strata = np.asarray(strata)
        groups = [values[..., strata == label] for label in np.unique(strata)]
    chunk = max(1, _MAX_DRAWN // values.size)
    found = []
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        drawn = []
        for group in groups:
            size = group.shape[-1]
            drawn.append(group[..., rng.integers(size, size=(rows, size))])
        found.append(statistic(np.concatenate(drawn, axis=-1)))
    return percentile_interval(np.moveaxis(np.concatenate(found, axis=-1), -1, 0), confidence)


def percentile_interval(
    resampled: Array, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the central interval of bootstrapped statistics.

    Args:
      resampled: `[R, ...]` statistics of `R` resamples.
      confidence: probability mass inside the interval.

    Returns:
      The lower and the upper end, `[...]` each.
    """
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    return low, high
