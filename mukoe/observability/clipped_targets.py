"""Warning about targets outside the bins of a categorical value or reward."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

_LOGGER = logging.getLogger(__name__)

_TARGETS = {
    "values_outside_bins": ("value targets", "agent.network.value_support"),
    "rewards_outside_bins": ("reward targets", "agent.network.reward_support"),
}
"""Noun and configuration field of the targets by metric, a share of them."""


class ClippedTargets:
    """Logs one warning for each kind of target that leaves its bins."""

    def __init__(self) -> None:
        self._unreported = set(_TARGETS)

    def check(self, metrics: Mapping[str, Any]) -> None:
        """Logs a warning for the shares that are positive for the first time.

        Args:
          metrics: metrics of an update, of which the shares are read, if it has them.
        """
        for name in sorted(self._unreported & metrics.keys()):
            if (share := float(metrics[name])) > 0:
                self._unreported.remove(name)
                _LOGGER.warning(describe_clipping(name, share))


def shares_outside_bins(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics that `ClippedTargets` reads, as Python numbers."""
    return {name: float(metrics[name]) for name in _TARGETS if name in metrics}


def describe_clipping(name: str, share: float) -> str:
    """Returns one line with the share of clipped targets and the field to change.

    Args:
      name: name of the metric.
      share: its value, in (0, 1].
    """
    noun, field = _TARGETS[name]
    return (
        f"{_percentage(share)} of the {noun} lie outside of the bins of {field} and are clipped, "
        f"so they cannot be learned: widen {field}.minimum and {field}.maximum, or set "
        f"{field}.hyperbolic=true"
    )


def clipping_notes(highest: Callable[[str], float | None]) -> list[str]:
    """Returns the line of each kind of target that left its bins during a run.

    Args:
      highest: function that returns the highest share of a run by the name of the metric, None
        for a metric that was not logged.
    """
    return [describe_clipping(name, share) for name in _TARGETS if (share := highest(name))]


def _percentage(share: float) -> str:
    return f"{100 * share:.3g}%" if share >= 1e-4 else "less than 0.01%"
