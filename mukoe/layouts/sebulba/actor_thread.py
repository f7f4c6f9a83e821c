"""The actor threads, and their metrics as one actor."""

import itertools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mukoe.acting.loop import LoopProgress
from mukoe.acting.rollouts import Rollout
from mukoe.layouts.sebulba.collectors import Collector
from mukoe.layouts.sebulba.exchange import Exchange
from mukoe.observability.timings import Timings
from mukoe.types import PolicyParams

RolloutExchange = Exchange[Mapping[jax.Device, PolicyParams], Rollout]
"""Exchange of parameters, by actor device, and rollouts."""


def act(
    exchange: RolloutExchange,
    thread: int,
    device: jax.Device,
    collector: Collector,
    rows_sharding: jax.sharding.Sharding | None,
) -> None:
    """Acts round by round until the exchange is closed.

    Args:
      exchange: source of the parameters, which receives the rollouts.
      thread: index of this thread.
      device: device of the policy.
      collector: collector of this thread's environments.
      rows_sharding: sharding of a batch on the learner's devices, to which the rows of each
        rollout are copied; None for rows that go to replay.
    """
    with jax.default_device(device):
        for round_index in itertools.count():
            collector.timings.start()
            params = exchange.parameters(round_index)[device]
            jax.block_until_ready(params)
            collector.timings.lap("waiting")
            rollout = collector.collect(params)
            if rows_sharding is not None:
                rows, memory = jax.device_put((rollout.rows, rollout.memory), rows_sharding)
                rollout = rollout._replace(rows=rows, memory=memory)
            if round_index == 0:
                # The first round includes compilation.
                collector.timings.clear()
            exchange.put(round_index, thread, rollout)


class ActorMetrics:
    """Metrics of all actor threads as those of one loop (see `LoopMetrics`)."""

    def __init__(self, collectors: Sequence[Collector]):
        """Takes the collectors of all threads."""
        self._collectors = collectors
        self._newest: Sequence[Rollout] = ()
        self.progress = LoopProgress(0, 0)

    def add(self, rollouts: Sequence[Rollout]) -> None:
        """Adds the rollouts of a round."""
        self._newest = rollouts
        self.progress = LoopProgress(
            self.progress.steps + sum(rollout.steps for rollout in rollouts),
            self.progress.frames + sum(rollout.frames for rollout in rollouts),
        )

    @property
    def timings(self) -> Timings:
        """Seconds by part of the work, summed over the threads."""
        total = Timings()
        for collector in self._collectors:
            for part, seconds in dict(collector.timings.seconds).items():
                total.seconds[part] = total.seconds.get(part, 0.0) + seconds
            for part, seconds in dict(collector.timings.cpu_seconds).items():
                total.cpu_seconds[part] = total.cpu_seconds.get(part, 0.0) + seconds
            for part, laps in dict(collector.timings.laps).items():
                total.laps[part] = total.laps.get(part, 0) + laps
        return total

    @property
    def learner_steps(self) -> int:
        """Learner steps of the oldest parameters of the newest round."""
        return min(rollout.learner_steps for rollout in self._newest)

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means of the policy's statistics at the last step of the newest round."""
        newest = [rollout.statistics for rollout in self._newest]
        return {n: float(np.mean([np.mean(np.asarray(s[n])) for s in newest])) for n in newest[0]}
