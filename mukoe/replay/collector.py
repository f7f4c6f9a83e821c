"""Adder that collects whole episodes as rows, for data sets."""

from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import jax
import numpy as np

from mukoe.types import Nest, Row


class EpisodeCollector:
    """Adder of one environment that passes each complete episode on, an `Adder`.

    An episode of more than `max_steps` steps is passed on in parts. Each part but the last ends,
    truncated, with the observation that the next one starts with.
    """

    def __init__(self, row_spec: Row, max_steps: int, on_episode: Callable[[Row], None]):
        """Initialises an adder without an episode.

        Args:
          row_spec: specs of a row, for the types of its arrays.
          max_steps: maximum number of steps of an episode.
          on_episode: called with the rows `[L+1, ...]` of each episode, final observation included.
        """
        self._spec = row_spec
        self._max_steps = max_steps
        self._on_episode = on_episode
        self._rows: list[Row] = []
        self._observation: Nest = None

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Starts an episode."""
        self._rows = []
        self._observation = _copy(timestep.observation)

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, Nest],
        final_extras: Mapping[str, Nest] | None = None,
    ) -> None:
        """Adds a step; passes the episode on if it ends with it."""
        if len(self._rows) == self._max_steps:
            self._end(extras)
        row = Row(
            observation=self._observation,
            action=action,
            reward=next_timestep.reward,
            discount=next_timestep.discount,
            mask=1.0,
            extras=dict(extras),
        )
        self._rows.append(row)
        self._observation = _copy(next_timestep.observation)
        if next_timestep.last():
            self._end(final_extras)

    def reset(self, timeout_ms: int | None = None) -> None:
        """Drops the running episode, whose environment was lost."""
        del timeout_ms
        self._rows = []

    def _end(self, final_extras: Mapping[str, Nest] | None) -> None:
        rows, self._rows = self._rows, []
        first = rows[0]
        zeros = jax.tree.map(np.zeros_like, first)
        final = zeros._replace(
            observation=self._observation,
            extras=zeros.extras if final_extras is None else dict(final_extras),
        )

        def stack(spec: Any, *leaves: Any) -> np.ndarray:
            return np.stack(leaves).astype(spec.dtype)

        self._on_episode(jax.tree.map(stack, self._spec, *rows, final))


def _copy(observation: Nest) -> Nest:
    return jax.tree.map(np.array, observation)
