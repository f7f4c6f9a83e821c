"""Episodes of a policy, recorded as rows."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mukoe.acting.actor import Actor
from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import ConstantVariableSource, VariableClient
from mukoe.environments.vector import VectorEnvironment
from mukoe.replay.collector import EpisodeCollector
from mukoe.replay.declaration import row_spec
from mukoe.types import Policy, PolicyParams, Row


class RecordingLength(NamedTuple):
    """Length of a recording, as a number of episodes or of steps.

    episodes: number of episodes; None to count steps.
    steps: number of steps, exceeded up to the ends of the running episodes.
    max_steps: maximum number of steps of an episode; a longer one is stored in parts.
    """

    episodes: int | None
    steps: int
    max_steps: int

    @property
    def total(self) -> int:
        """Number of episodes, or of steps."""
        return self.steps if self.episodes is None else self.episodes

    def counted(self, episode: Row) -> int:
        """Returns the part of the length that an episode `[L+1, ...]` is."""
        return len(episode.mask) - 1 if self.episodes is None else 1


def no_params() -> PolicyParams:
    """Returns the parameters of a policy without parameters."""
    return PolicyParams((), jnp.int32(0))


def record_policy(
    policy: Policy,
    params: PolicyParams,
    environment: VectorEnvironment,
    length: RecordingLength,
    seed: int,
    on_episode: Callable[[Row], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Plays episodes and passes each one on; closes the environment.

    Every environment of the vector contributes equally, so that short episodes are not
    overrepresented.

    Args:
      policy: policy that acts; its extras are recorded.
      params: parameters of the policy.
      environment: vector of environments.
      length: length of the recording.
      seed: seed of the actions.
      on_episode: called with the rows `[L+1, ...]` of each episode.
      should_stop: called before every step; True drops the running episodes.
    """
    missing = _shares(length.total, environment.num_envs)

    def collector(index: int) -> EpisodeCollector:
        def add(episode: Row) -> None:
            if missing[index] > 0:
                missing[index] -= length.counted(episode)
                on_episode(episode)

        rows = row_spec(environment.spec, policy.extras_spec)
        return EpisodeCollector(rows, length.max_steps, add)

    with contextlib.closing(environment):
        adders = [collector(index) for index in range(environment.num_envs)]
        variables = VariableClient(ConstantVariableSource(params), period_updates=0)
        key = jax.random.PRNGKey(seed)
        runner = LocalRunner(policy, variables, key, environment.num_envs)
        actor = Actor(runner, adders, tuple(policy.extras_spec))
        loop = EnvironmentLoop(environment, actor)
        while (missing > 0).any() and not should_stop():
            loop.step()


def _shares(total: int, parts: int) -> np.ndarray:
    """Returns `total` in `parts` integers that differ by at most 1."""
    shares = np.full(parts, total // parts)
    shares[: total % parts] += 1
    return shares
