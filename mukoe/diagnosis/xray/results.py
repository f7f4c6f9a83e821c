"""Results of an X-ray: sections of figures and tables, which the page and the JSON file share."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mukoe.observability.bootstrap import bootstrap_interval, mean
from mukoe.types import Array


class Estimate(NamedTuple):
    """Mean of a sample with the 95 % percentile bootstrap interval.

    mean: mean; NaN for an empty sample.
    low, high: ends of the interval.
    size: size of the sample.
    """

    mean: float
    low: float
    high: float
    size: int

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]" if self.size else "–"


def estimate(values: Array, seed: int = 0) -> Estimate:
    """Returns the mean of independent values `[N]`, such as episodes, with its interval."""
    values = np.asarray(values, np.float64)
    if not values.size:
        return Estimate(np.nan, np.nan, np.nan, 0)
    low, high = bootstrap_interval(values, mean, np.random.default_rng(seed))
    return Estimate(float(values.mean()), float(low), float(high), values.size)


def estimate_of_groups(values: Array, groups: Array, seed: int = 0) -> Estimate:
    """Returns the mean of values `[N]`, with an interval over groups of dependent values.

    The steps of one stream of episodes are dependent: the bootstrap draws whole streams.

    Args:
      values: `[N]`.
      groups: `[N]` integer labels of the streams.
      seed: seed of the bootstrap.
    """
    values, groups = np.asarray(values, np.float64), np.asarray(groups)
    if not values.size:
        return Estimate(np.nan, np.nan, np.nan, 0)
    _, index = np.unique(groups, return_inverse=True)
    totals, counts = np.bincount(index, values), np.bincount(index)
    drawn = np.random.default_rng(seed).integers(len(counts), size=(2_000, len(counts)))
    means = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high), values.size)


@dataclasses.dataclass(frozen=True)
class Series:
    """Line of a figure.

    name: name in the legend.
    x: positions of the points.
    y: estimates at these positions.
    """

    name: str
    x: Sequence[float]
    y: Sequence[Estimate]


@dataclasses.dataclass(frozen=True)
class Figure:
    """Figure of a section.

    name: key in the JSON file.
    title: caption.
    x_label: label of the horizontal axis.
    series: lines.
    threshold: value that a horizontal line marks; None for none.
    threshold_name: description of that value.
    logarithmic: True for a logarithmic horizontal axis.
    """

    name: str
    title: str
    x_label: str
    series: Sequence[Series]
    threshold: float | None = None
    threshold_name: str = ""
    logarithmic: bool = False


Row = Sequence[str | float | Estimate]
"""Row of a table."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Table of a section.

    name: key in the JSON file.
    columns: headings.
    rows: cells; an `Estimate` is written with its interval.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Row]


@dataclasses.dataclass(frozen=True)
class Section:
    """Measurement of an X-ray.

    name: key in the JSON file.
    heading: heading on the page.
    text: definition of the numbers, or the reason for their absence.
    figures: figures.
    tables: tables.
    """

    name: str
    heading: str
    text: str
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
