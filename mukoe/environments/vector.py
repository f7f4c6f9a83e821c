"""Contract of vectorised environments: the only form in which agents use environments."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import dm_env
import numpy as np

from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, EpisodeResult


class VectorEnvironment(Protocol):
    """`B` environments that step together and restart automatically.

    A batched `dm_env.TimeStep` has `step_type [B]` int32, `reward [B]` float32,
    `discount [B]` float32 and an observation nest `[B, ...]`.

    Each stream follows these rules:
      - Termination is LAST with discount 0. Truncation is LAST with discount 1.
      - A discount of -1 passes the turn to the other player.
      - The step after LAST ignores its action and returns FIRST with reward 0 and discount 1.
      - FIRST without a preceding LAST means that the environment was lost, and the outcome of its
        last action is unknown.
    """

    @property
    def num_envs(self) -> int:
        """Number of environments `B`."""

    @property
    def spec(self) -> EnvironmentSpec:
        """Specs of one environment, without the `B` axis."""

    @property
    def action_repeat(self) -> int:
        """Emulator frames per agent step; 1 without an emulator."""

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream."""

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream, `[B]` int32 or continuous `[B, D]` float32."""

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns the episodes that ended since the last call."""

    def close(self) -> None:
        """Releases the resources of all environments."""


@runtime_checkable
class CopiesState(Protocol):
    """Environment, or vector of environments, whose state can be copied and restored.

    A vector for which this depends on its environments has the property `copies_state`.
    """

    def get_state(self) -> dict[str, np.ndarray]:
        """Returns a copy of the state, called after the first reset."""

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a copied state in an environment of the same kind."""


def copies_state(environment: object) -> bool:
    """Returns whether the state of an environment, or of a vector, can be copied."""
    return isinstance(environment, CopiesState) and getattr(environment, "copies_state", True)


EnvironmentFactory = Callable[[int, int, bool], VectorEnvironment]
"""Function `(seed, num_envs, evaluation) -> VectorEnvironment`."""


@runtime_checkable
class ReportsEpisodes(Protocol):
    """Environment that reports its own episode results, because its rewards are not the score."""

    def episode_result(self) -> EpisodeResult | None:
        """Returns the result of the last episode, called after LAST.

        None means that the real episode is not over, for example after a lost life.
        """


def environment_spec(environment: dm_env.Environment) -> EnvironmentSpec:
    """Returns the four specs of an environment."""
    return EnvironmentSpec(
        observations=environment.observation_spec(),
        actions=environment.action_spec(),
        rewards=environment.reward_spec(),
        discounts=environment.discount_spec(),
    )


def environment_seeds(name: str, seed: int, num_envs: int, evaluation: bool) -> list[int]:
    """Returns the seeds, in 0..2**32-1, of the environments of a vector.

    Args:
      name: environment name for error messages.
      seed: seed of the vector.
      num_envs: number of environments `B`.
      evaluation: True for the environments of an evaluator.

    Raises:
      UserError: `seed` is negative or `num_envs` is less than 1.
    """
    if seed < 0:
        raise UserError(f"{name}: the seed must not be negative; got {seed}")
    if num_envs < 1:
        raise UserError(f"{name}: a vector needs at least 1 environment; got {num_envs}")
    return [environment_seed(seed, index, evaluation) for index in range(num_envs)]


def environment_seed(seed: int, index: int, evaluation: bool) -> int:
    """Returns the seed, in 0..2**32-1, of one environment of a vector.

    It is drawn by `np.random.SeedSequence` from the seed of the vector, the index and
    `evaluation`. Hence the environments of a vector differ, a longer vector starts with the seeds
    of a shorter one, and an evaluator with the seed of an actor has other episodes.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(int(evaluation), index))
    return int(sequence.generate_state(1)[0])
