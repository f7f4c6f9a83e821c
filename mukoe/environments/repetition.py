"""Detection of evaluations that repeat one episode.

A deterministic policy in a deterministic environment plays the same episode again and again, and
the interval of its mean return has no width.
"""

import logging
import zlib
from collections.abc import Sequence

import dm_env
import numpy as np
import tree

from mukoe.environments.vector import VectorEnvironment
from mukoe.environments.vector_wrapper import VectorWrapper
from mukoe.types import EpisodeResult

_LOGGER = logging.getLogger(__name__)


class RepetitionDetector(VectorWrapper):
    """Wrapper of a vector environment that compares its episodes since the last reset.

    Episodes are compared by checksums of their time steps: two games that merely have the same
    return and length differ.
    """

    def __init__(self, environment: VectorEnvironment):
        """Wraps a vector environment."""
        super().__init__(environment)
        self._checksums = [0] * environment.num_envs
        # The first result of each episode, by seat and checksum.
        self._distinct: dict[tuple[int, int], EpisodeResult] = {}
        self._num_finished = 0
        self._has_warned = False

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream, and forgets the finished ones."""
        self._distinct.clear()
        self._num_finished = 0
        return self._add(self._environment.reset())

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream, `[B]` or `[B, D]`."""
        return self._add(self._environment.step(actions))

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns the episodes that ended with the last step."""
        results = self._environment.finished_episodes()
        for result in results:
            key = (result.seat, self._checksums[result.environment])
            self._distinct.setdefault(key, result)
            self._num_finished += 1
        return results

    def without_repetitions(self, results: Sequence[EpisodeResult]) -> list[EpisodeResult]:
        """Returns the results that count: one per seat if all episodes of each seat are equal.

        Warns of repetitions, once. Episodes that have not finished count each.

        Args:
          results: results of the episodes since the last reset.
        """
        seats, count = {result.seat for result in results}, len(results)
        varied = len(self._distinct) > len(seats)
        if varied or count == len(seats) or self._num_finished < count:
            return list(results)
        if not self._has_warned:
            warn_of_repetitions(f"the {count} episodes of an evaluation")
            self._has_warned = True
        return list({result.seat: result for result in reversed(results)}.values())[::-1]

    def _add(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        """Adds a time step to the checksums of the running episodes."""
        starts, leaves = timestep.first(), tree.flatten(timestep)
        for index, checksum in enumerate(self._checksums):
            checksum = 0 if starts[index] else checksum
            for leaf in leaves:
                checksum = zlib.crc32(np.ascontiguousarray(leaf[index]).tobytes(), checksum)
            self._checksums[index] = checksum
        return timestep


def warn_of_repetitions(episodes: str) -> None:
    """Warns that episodes are all the same, and names sources of variety.

    Args:
      episodes: noun phrase of the episodes.
    """
    _LOGGER.warning(
        f"{episodes} are all the same and count as one: environment and agents are deterministic. "
        "Variety comes from no-op starts (environment.noop_max=30) or sticky actions "
        "(environment.sticky_actions=0.25) on Atari, from random openings (--opening_moves=2) in "
        "matches, and from a sampled policy (agent.evaluation=sample)"
    )
