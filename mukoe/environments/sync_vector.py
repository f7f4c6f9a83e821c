"""Vector of dm_env environments that are stepped sequentially in the calling thread."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import dm_env
import numpy as np
import tree
from dm_env import specs

from mukoe.environments.checks import SpecChecker, call, close
from mukoe.environments.spec_checks import narrow_spec
from mukoe.environments.vector import (
    ReportsEpisodes,
    VectorEnvironment,
    copies_state,
    environment_seeds,
    environment_spec,
)
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, EpisodeResult, MaskedObservation


class SyncVectorEnvironment:
    """Vector of dm_env environments, a `VectorEnvironment`.

    Time steps are checked against the specs: in full at a reset, by shape, dtype and finiteness
    at every step. Numbers of 64 bits become numbers of 32 bits.

    environments: environments in the order of the streams.
    """

    def __init__(self, environments: Sequence[dm_env.Environment], name: str = "environment"):
        """Takes ownership of the environments.

        Args:
            environments: `B` environments with equal specs. The action spec is a `DiscreteArray`,
                or a float32 `BoundedArray` `[D]` of continuous actions.
            name: environment name for error messages.

        Raises:
            UserError: there is no environment, the specs differ, or the actions are unsupported.
        """
        if not environments:
            raise UserError(f"{name}: a vector needs at least 1 environment; got 0")
        self.environments = tuple(environments)
        self._name = name
        spec = environment_spec(environments[0])
        self._checker = SpecChecker(spec, self.num_envs, name)
        self._spec = narrow_spec(spec)
        for index, environment in enumerate(self.environments):
            self._checker.check_same_spec(index, environment_spec(environment))
        self._restart = [True] * self.num_envs
        self._returns = [0.0] * self.num_envs
        self._lengths = [0] * self.num_envs
        self._finished: list[EpisodeResult] = []

    @property
    def num_envs(self) -> int:
        """Number of environments `B`."""
        return len(self.environments)

    @property
    def spec(self) -> EnvironmentSpec:
        """Specs of one environment, with observations of at most 32 bits per number."""
        return self._spec

    @property
    def action_repeat(self) -> int:
        """Attribute `action_repeat` of the environments; 1 without it."""
        return getattr(self.environments[0], "action_repeat", 1)

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream and drops unfinished ones."""
        return self._stack([self._reset_one(index) for index in range(self.num_envs)])

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream: `[B]` integers, or `[B, D]` floats clipped to the bounds.

        Raises:
            UserError: an action is invalid, or an environment violates its spec.
        """
        actions = self._check_actions(actions)
        return self._stack(
            [
                self._reset_one(index) if self._restart[index] else self._step_one(index, action)
                for index, action in enumerate(actions)
            ]
        )

    def check_first_steps(self) -> None:
        """Resets the environments and applies one legal action to each.

        Raises:
            UserError: an environment violates its spec.
            EnvironmentFailedError: a method of an environment raised an error.
        """
        observation, spec = self.reset().observation, self._spec.actions
        if isinstance(observation, MaskedObservation):
            self.step(observation.legal_actions.argmax(-1))
        elif isinstance(spec, specs.DiscreteArray):
            self.step(np.zeros(self.num_envs, spec.dtype))
        else:
            self.step(np.zeros((self.num_envs, *spec.shape), spec.dtype))

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns the episodes that ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    @property
    def copies_state(self) -> bool:
        """True if the state of every environment can be copied."""
        return all(map(copies_state, self.environments))

    def get_state(self) -> dict[str, np.ndarray]:
        """Returns a copy of the state, as `CopiesState` does."""
        state = {
            f"{index}/{name}": array
            for index, environment in enumerate(self.environments)
            for name, array in environment.get_state().items()  # type: ignore[attr-defined]
        }
        state["restart"] = np.array(self._restart)
        state["returns"] = np.array(self._returns, np.float64)
        state["lengths"] = np.array(self._lengths, np.int64)
        return state

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a copied state."""
        for index, environment in enumerate(self.environments):
            prefix = f"{index}/"
            own = {n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)}
            environment.set_state(own)  # type: ignore[attr-defined]
        self._restart = state["restart"].tolist()
        self._returns = state["returns"].tolist()
        self._lengths = state["lengths"].tolist()

    def render(self, index: int = 0) -> np.ndarray:
        """Returns a picture `[H, W, 3]` uint8 of one environment.

        Raises:
            UserError: the environment has no method `render`.
        """
        render = getattr(self.environments[index], "render", None)
        if render is None:
            raise UserError(f"{self._name} has no render() method, so it cannot be drawn")
        return render()

    def action_names(self) -> list[str] | None:
        """Returns the names of the actions; None if the environments have no `action_names()`."""
        names = getattr(self.environments[0], "action_names", None)
        return None if names is None else names()

    def close(self) -> None:
        """Closes all environments; warns of those that raise an error."""
        for index, environment in enumerate(self.environments):
            close(self._checker.where(index), environment)

    def _check_actions(self, actions: np.ndarray) -> np.ndarray:
        return self._checker.check_actions(np.asarray(actions), ignored=self._restart)

    def _reset_one(self, index: int) -> dm_env.TimeStep:
        timestep = call(self._checker.where(index), self.environments[index], "reset")
        self._checker.check_first(index, timestep)
        self._restart[index] = False
        self._returns[index] = 0.0
        self._lengths[index] = 0
        return timestep._replace(reward=0.0, discount=1.0)

    def _step_one(self, index: int, action: np.ndarray) -> dm_env.TimeStep:
        timestep = call(self._checker.where(index), self.environments[index], "step", action)
        timestep = self._checker.check_step(index, timestep)
        self._returns[index] += timestep.reward
        self._lengths[index] += 1
        if timestep.last():
            self._restart[index] = True
            self._finish(index)
        return timestep

    def _finish(self, index: int) -> None:
        environment = self.environments[index]
        result: EpisodeResult | None
        if isinstance(environment, ReportsEpisodes):
            result = environment.episode_result()
        else:
            length = self._lengths[index]
            frames = length * self.action_repeat
            result = EpisodeResult(self._returns[index], length, frames)
        if result is not None:
            self._finished.append(result._replace(environment=index))

    def _stack(self, timesteps: list[dm_env.TimeStep]) -> dm_env.TimeStep:
        observation = tree.map_structure(
            lambda *leaves: np.stack(leaves), *[t.observation for t in timesteps]
        )
        return dm_env.TimeStep(
            step_type=np.array([t.step_type for t in timesteps], np.int32),
            reward=np.array([t.reward for t in timesteps], np.float32),
            discount=np.array([t.discount for t in timesteps], np.float32),
            observation=self._checker.narrow(observation),
        )


@dataclasses.dataclass(frozen=True)
class SyncFactory:
    """Factory of `SyncVectorEnvironment`s; see `vectorize`.

    make_environment: function `(seed, evaluation) -> dm_env.Environment`.
    name: environment name for error messages.
    """

    make_environment: Callable[[int, bool], dm_env.Environment]
    name: str

    def __call__(self, seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        """Builds a vector of `num_envs` environments."""
        seeds = environment_seeds(self.name, seed, num_envs, evaluation)
        with contextlib.ExitStack() as unused:
            environments = []
            for each in seeds:
                environments.append(self.make_environment(each, evaluation))
                unused.callback(environments[-1].close)
            vector = SyncVectorEnvironment(environments, self.name)
            unused.pop_all()
        return vector


def vectorize(
    make_environment: Callable[[int, bool], dm_env.Environment], name: str = "environment"
) -> SyncFactory:
    """Returns an `EnvironmentFactory` from a constructor of single environments.

    Args:
        make_environment: function `(seed, evaluation) -> dm_env.Environment`, with the seeds of
            `environment_seed`.
        name: environment name for error messages.
    """
    return SyncFactory(make_environment, name)
