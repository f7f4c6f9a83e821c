"""Reanalysis: stored search statistics are replaced with those of newer parameters.

MuZero Reanalyse (Schrittwieser et al. 2020, arXiv:1911.08265, appendix H; 2021,
arXiv:2104.06294). Observations, actions and rewards stay as they were stored.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import chex
import jax.numpy as jnp
from msgspec import Meta

from mukoe.configuration.bounds import LARGEST_COUNT, UnitInterval
from mukoe.configuration.fields import Validated
from mukoe.learning.masking import masked_mean
from mukoe.types import Array, PolicyParams, Row, Sample, SearchStatistics

# Smallest stored probability in a KL divergence, since visit counts may be 0.
_SMALLEST_PROBABILITY = 1e-3


@dataclasses.dataclass(frozen=True)
class ReanalyseConfig(Validated):
    """Reanalysis of stored rows with newer parameters."""

    # 'none'; 'learner': the update computes the statistics of a part of its batch with the target
    # parameters, which it does not store; 'replay': after each update the statistics of the next
    # rows in replay, oldest first, are rewritten with the newest parameters (ReZero,
    # arXiv:2404.16364); 'nodes': `distributed.num_reanalysers` nodes of a program graph search
    # sampled sequences with the newest parameters for a part of each batch. In a program graph
    # 'replay' needs the runtime zeromq, since Reverb's items are immutable.
    mode: Literal["none", "learner", "replay", "nodes"] = "none"
    # Modes 'learner' and 'nodes': fraction of each batch. MuZero Reanalyse: 0.8.
    fraction: UnitInterval = 0.8
    # Mode 'replay': rows per update, a final observation included. A pass over replay takes
    # capacity / rows_per_update updates.
    rows_per_update: Annotated[int, Meta(ge=2, le=LARGEST_COUNT)] = 64
    # 'full': policy and value of a search, with its exploration noise. 'values': values of the
    # network, without a tree; stored policies stay.
    search: Literal["full", "values"] = "full"


Reanalyse = Callable[[PolicyParams, chex.PRNGKey, Row], Mapping[str, Array]]
"""`(params, key, windows) -> statistics`.

Windows are rows `[N, F, ...]`, each behind the `F - 1` rows of its history; statistics are the new
extras `[N, ...]` of the rows, by name.
"""


Renew = Callable[[PolicyParams, chex.PRNGKey, Sample], tuple[Sample, dict[str, Array]]]
"""`(params, key, sample) -> (sample with new statistics, metrics of their change)`."""


def change_metrics(windows: Row, statistics: Mapping[str, Array]) -> dict[str, Array]:
    """Compares new statistics with the stored ones.

    Args:
      windows: windows `[N, F, ...]` of stored rows; padding and final observations do not count.
      statistics: new statistics `[N, ...]`.

    Returns:
      `reanalyse_value_change`, the mean absolute change of the value; with new policies over all
      actions `reanalyse_policy_kl`, the mean KL divergence (nats) of the new policy from the stored
      one. New candidates have no policy in common with the stored ones.
    """
    acted = windows.mask[:, -1]
    new = SearchStatistics.from_extras(statistics)
    stored = SearchStatistics.from_extras(
        {name: windows.extras[name][:, -1] for name in statistics}
    )
    change = jnp.abs(new.search_value - stored.search_value)
    change = jnp.mean(jnp.reshape(change, (*acted.shape, -1)), axis=-1)  # Of all players.
    metrics = {"reanalyse_value_change": masked_mean(change, acted)}
    if new.search_policy is not None and new.search_candidates is None:
        ratio = jnp.log(jnp.maximum(new.search_policy, _SMALLEST_PROBABILITY)) - jnp.log(
            jnp.maximum(stored.search_policy, _SMALLEST_PROBABILITY)
        )
        divergence = jnp.sum(new.search_policy * ratio, axis=-1)
        metrics["reanalyse_policy_kl"] = masked_mean(divergence, acted)
    return metrics
