"""Several environments as the tasks of one agent.

Stream `i` of a vector plays task `i mod N` of `N` tasks, which have the same observations and
actions. The task is a part of the observation, `task` `[N]` one-hot: its torso is the embedding of
the task, see `mukoe.networks.parts`. The other parts are those of the environment; a single array
is the part `observation`.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import dm_env
import jax
import numpy as np
from dm_env import specs
from msgspec import Meta

from mukoe.configuration.fields import Validated
from mukoe.environments.registry import named_environment
from mukoe.environments.vector import EnvironmentFactory, VectorEnvironment, copies_state
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, EpisodeResult, MaskedObservation, Nest

TASK, OBSERVATION = "task", "observation"
"""Names of the parts of an observation that are added."""


@dataclasses.dataclass(frozen=True)
class TasksConfig(Validated):
    """Several environments of one observation space."""

    # Names of the environments, as `--env` takes them.
    names: Annotated[tuple[str, ...], Meta(min_length=2)]

    def make_factory(self) -> "TasksFactory":
        """Returns `factory(seed, num_envs, evaluation)`.

        Raises:
          UserError: there is no environment of a name.
        """
        factories = [named_environment(name).make_factory() for name in self.names]
        return TasksFactory(dict(zip(self.names, factories, strict=True)))


@dataclasses.dataclass(frozen=True)
class TasksFactory:
    """Factory of `TaskVector`s.

    factories: factories of the tasks by name.
    """

    factories: Mapping[str, EnvironmentFactory]

    def __call__(self, seed: int, num_envs: int, evaluation: bool) -> "TaskVector":
        """Builds a vector of `num_envs` environments; a single one plays the first task.

        Raises:
          UserError: the specs of the tasks differ, or some tasks would have no environment.
        """
        count = len(self.factories)
        if 1 < num_envs < count:
            raise UserError(
                f"{count} tasks need at least {count} environments, not {num_envs}: set "
                "run.envs_per_actor and run.evaluation_episodes to multiples of the tasks"
            )
        with contextlib.ExitStack() as unused:
            vectors = []
            for index, factory in enumerate(self.factories.values()):
                share = len(range(index, num_envs, count))
                if share:
                    vectors.append(factory(seed, share, evaluation))
                    unused.callback(vectors[-1].close)
            vector = TaskVector(vectors, list(self.factories))
            unused.pop_all()
        return vector


def task_returns(factory: EnvironmentFactory, results: Sequence[EpisodeResult]) -> dict[str, float]:
    """Returns the mean return of each task, as `episode_return/NAME`; empty without tasks.

    Args:
      factory: factory of the environments.
      results: episodes of a vector of the factory.
    """
    if not isinstance(factory, TasksFactory):
        return {}
    returns: dict[str, list[float]] = {}
    names = list(factory.factories)
    for result in results:
        name = names[result.environment % len(names)]
        returns.setdefault(f"episode_return/{name}", []).append(result.episode_return)
    return {name: float(np.mean(returns[name])) for name in sorted(returns)}


class TaskVector:
    """Vector of the environments of several tasks, a `VectorEnvironment`."""

    def __init__(self, vectors: list[VectorEnvironment], names: list[str]):
        """Takes ownership of the vectors.

        Args:
          vectors: vectors of the first tasks; stream `i` is that of task `i mod len(vectors)`.
          names: names of all tasks.

        Raises:
          UserError: the specs of two tasks differ.
        """
        self._vectors = vectors
        self._num_tasks = len(names)
        # Environment of each stream in the concatenation of all vectors.
        streams = [range(index, self.num_envs, len(vectors)) for index, _ in enumerate(vectors)]
        self._streams = [np.array(stream) for stream in streams]
        spec = vectors[0].spec
        for name, vector in zip(names, vectors, strict=False):
            if repr(vector.spec) != repr(spec):
                raise UserError(
                    f"all tasks need the same observations and actions: those of {name!r} are "
                    f"{vector.spec}, those of {names[0]!r} are {spec}"
                )
        self._spec = spec._replace(observations=_with_task(spec.observations, self._task_spec))

    @property
    def _task_spec(self) -> specs.Array:
        return specs.BoundedArray((self._num_tasks,), np.float32, 0.0, 1.0, TASK)

    @property
    def num_envs(self) -> int:
        """Number of environments `B`."""
        return sum(vector.num_envs for vector in self._vectors)

    @property
    def spec(self) -> EnvironmentSpec:
        """Specs of one environment, whose observation has the part `task`."""
        return self._spec

    @property
    def action_repeat(self) -> int:
        """Emulator frames per agent step of the first task."""
        return self._vectors[0].action_repeat

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream."""
        return self._merge([vector.reset() for vector in self._vectors])

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream, `[B]` or `[B, D]`."""
        pairs = zip(self._vectors, self._streams, strict=True)
        return self._merge([vector.step(actions[stream]) for vector, stream in pairs])

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns the episodes that ended since the last call."""
        return [
            result._replace(environment=int(stream[result.environment]))
            for vector, stream in zip(self._vectors, self._streams, strict=True)
            for result in vector.finished_episodes()
        ]

    @property
    def copies_state(self) -> bool:
        """True if the state of the environments of every task can be copied."""
        return all(map(copies_state, self._vectors))

    def get_state(self) -> dict[str, np.ndarray]:
        """Returns a copy of the state, as `CopiesState` does."""
        return {
            f"{index}/{name}": array
            for index, vector in enumerate(self._vectors)
            for name, array in vector.get_state().items()  # type: ignore[attr-defined]
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a copied state."""
        for index, vector in enumerate(self._vectors):
            prefix = f"{index}/"
            own = {n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)}
            vector.set_state(own)  # type: ignore[attr-defined]

    def render(self, index: int = 0) -> np.ndarray:
        """Returns a picture `[H, W, 3]` uint8 of one environment."""
        place, task = divmod(index, len(self._vectors))
        return self._vectors[task].render(place)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Releases the resources of all environments."""
        for vector in self._vectors:
            vector.close()

    def _merge(self, timesteps: list[dm_env.TimeStep]) -> dm_env.TimeStep:
        """Returns the time steps of all vectors in the order of the streams."""
        order = np.argsort(np.concatenate(self._streams))
        merged = jax.tree.map(lambda *arrays: np.concatenate(arrays)[order], *timesteps)
        task = np.eye(self._num_tasks, dtype=np.float32)[
            np.arange(self.num_envs) % len(self._vectors)
        ]
        return merged._replace(observation=_with_task(merged.observation, task))


def _with_task(observation: Nest, task: Any) -> Nest:
    """Returns an observation, or its spec, with the part `task`."""
    if isinstance(observation, MaskedObservation):
        return observation._replace(features=_with_task(observation.features, task))
    parts = observation if isinstance(observation, dict) else {OBSERVATION: observation}
    return {**parts, TASK: task}
