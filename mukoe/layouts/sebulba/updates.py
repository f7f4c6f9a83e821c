"""The learner's updates of a round: one from its rollouts, or those that replay allows."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from mukoe.acting.rollouts import Rollout
from mukoe.layouts.common.reanalysis import ReplayReanalyser
from mukoe.layouts.sebulba.actor_thread import RolloutExchange
from mukoe.learning.learner import Learner
from mukoe.replay.handle import Adder
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import Nest, Row, Sample


class Round(NamedTuple):
    """Result of a round.

    rollouts: rollouts of all threads.
    metrics: metrics of the last update, possibly still on the device; empty without an update.
    """

    rollouts: Sequence[Rollout]
    metrics: Mapping[str, Any]


class Updates(Protocol):
    """Makes the updates of a round."""

    def learn(self, round_index: int) -> Round:
        """Waits for the rollouts of a round, and learns from them."""


class RolloutDataset:
    """Iterator over the batches of rollouts, one per round.

    rollouts: rollouts of the newest batch.
    """

    def __init__(self, exchange: RolloutExchange, num_devices: int):
        """Builds the dataset.

        Args:
          exchange: source of the rollouts.
          num_devices: number of the learner's devices.
        """
        self._exchange = exchange
        self._num_devices = num_devices
        self._join = jax.jit(_join_rollouts, static_argnames="num_devices")
        self._rounds = itertools.count()
        self.rollouts: Sequence[Rollout] = ()

    def __iter__(self) -> Iterator[Sample]:
        return self

    def __next__(self) -> Sample:
        """Waits for the rollouts of the next round, and returns them as one batch."""
        self.rollouts = self._exchange.take(next(self._rounds))
        rows, memory = self._join(
            [(r.rows, r.memory) for r in self.rollouts], num_devices=self._num_devices
        )
        batch_size = rows.mask.shape[0]
        probabilities = np.full(batch_size, 1.0 / batch_size, np.float32)
        return Sample((), probabilities, rows, memory=memory)


class RolloutUpdates:
    """Makes one update per round, from its rollouts.

    dataset: batches of the learner.
    """

    def __init__(self, learner: Learner, dataset: RolloutDataset):
        """Takes a learner that reads from `dataset`."""
        self._learner = learner
        self.dataset = dataset

    def learn(self, round_index: int) -> Round:
        """Makes the update of the next round."""
        del round_index  # The dataset counts rounds itself.
        metrics = self._learner.step()
        return Round(self.dataset.rollouts, metrics)


class ReplayUpdates:
    """Adds the rollouts of a round to replay, and makes the updates that replay then allows."""

    def __init__(
        self,
        learner: Learner,
        exchange: RolloutExchange,
        replay: InProcessReplay,
        adders: Sequence[Adder],
        ends: Callable[[], bool],
        reanalyser: ReplayReanalyser | None = None,
    ):
        """Builds the updates.

        Args:
          learner: learner that samples from `replay`.
          exchange: source of the rollouts.
          replay: replay.
          adders: adders of the replay, one per environment of all threads.
          ends: function that returns whether a round makes no further update.
          reanalyser: reanalyser of `replay`, which rewrites rows after each update; None for none.
        """
        self._learner = learner
        self._exchange = exchange
        self._replay = replay
        self._adders = adders
        self._ends = ends
        self._reanalyser = reanalyser

    def learn(self, round_index: int) -> Round:
        """Waits for the rollouts of a round, and learns."""
        with self._learner.measure("waiting"):
            rollouts = self._exchange.take(round_index)
        buffers = [buffer for rollout in rollouts for buffer in rollout.rows]
        for buffer, adder in zip(buffers, self._adders, strict=True):
            buffer.replay(adder)
        metrics: Mapping[str, Any] = {}
        while self._replay.can_sample() and not self._ends():
            metrics = self._learner.step()
            if self._reanalyser is not None:
                metrics = {**metrics, **self._reanalyser.step()}
        return Round(rollouts, metrics)


def _join_rollouts(rollouts: Sequence[tuple[Row, Nest]], num_devices: int) -> tuple[Row, Nest]:
    """Concatenates rollouts `[B, ...]` so that each device joins the parts that it holds."""

    def join(*arrays: jax.Array) -> jax.Array:
        shape = arrays[0].shape[1:]
        parts = [array.reshape(num_devices, -1, *shape) for array in arrays]
        return jnp.concatenate(parts, axis=1).reshape(-1, *shape)

    return jax.tree.map(join, *rollouts)
