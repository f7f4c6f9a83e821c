"""Several environments stepped as one: the only shape in which agents see environments."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol, runtime_checkable

import dm_env
import numpy as np
import tree
from dm_env import specs

from mukoe.environments import checks
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, EpisodeResult, Nest


class VectorEnvironment(Protocol):
    """`B` environments stepped together, each restarting by itself.

    A batched `dm_env.TimeStep` has `step_type [B]` int32, `reward [B]` float32,
    `discount [B]` float32 and an observation nest `[B, ...]`. Per stream, the step after
    LAST ignores its action and returns FIRST with reward 0 and discount 1. Termination is
    LAST with discount 0, truncation is LAST with discount 1. FIRST without LAST before it:
    the environment was lost, and what came of its last action is not known.
    """

    @property
    def num_envs(self) -> int:
        """`B`."""

    @property
    def spec(self) -> EnvironmentSpec:
        """The spec of one environment, without the `B` axis."""

    @property
    def action_repeat(self) -> int:
        """Emulator frames for each agent step; 1 where there is no emulator."""

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream."""

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Takes one action `[B]`, or continuous `[B, D]`, in every stream."""

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns, once each, the episodes that ended since the last call."""

    def close(self) -> None:
        """Frees what the environments hold."""


EnvironmentFactory = Callable[[int, int, bool], VectorEnvironment]
"""`factory(seed, num_envs, evaluation) -> VectorEnvironment`."""


@runtime_checkable
class ReportsEpisodes(Protocol):
    """An environment that counts its episodes itself, because its rewards are not the score."""

    def episode_result(self) -> EpisodeResult | None:
        """Asked after LAST; None means that the real episode is not over yet."""


def environment_spec(environment: dm_env.Environment) -> EnvironmentSpec:
    """Collects the four specs of an environment."""
    return EnvironmentSpec(
        observations=environment.observation_spec(),
        actions=environment.action_spec(),
        rewards=environment.reward_spec(),
        discounts=environment.discount_spec(),
    )


class SyncVectorEnvironment:
    """dm_env environments stepped one after the other in the calling thread.

    What an environment returns is compared with its spec, at a reset in full and at every
    step by shape and dtype, because a wrong observation is cheapest to find here.

    environments: the environments, in the order of the streams.
    """

    def __init__(self, environments: Sequence[dm_env.Environment], name: str = "environment"):
        """Takes over the environments.

        Args:
            environments: `B` environments with equal specs and actions that are choices (a
                `DiscreteArray`) or vectors of floats (a `BoundedArray` `[D]`).
            name: what error messages call them.

        Raises:
            UserError: there are none, their specs differ, or their actions are of another kind.
        """
        if not environments:
            raise UserError(f"{name}: a vector needs at least 1 environment; got 0")
        self.environments = tuple(environments)
        self._name = name
        self._spec = environment_spec(environments[0])
        if not _is_supported(self._spec.actions):
            raise UserError(
                f"{name}: actions must be a dm_env.specs.DiscreteArray, or a BoundedArray of one "
                f"axis and dtype float32; got {self._spec.actions!r}"
            )
        for index, environment in enumerate(self.environments):
            self._check_same_spec(index, environment_spec(environment))
        self._flat_specs = list(
            zip(
                _field_names(self._spec.observations),
                tree.flatten(self._spec.observations),
                strict=True,
            )
        )
        self._restart = [True] * self.num_envs
        self._returns = [0.0] * self.num_envs
        self._lengths = [0] * self.num_envs
        self._finished: list[EpisodeResult] = []

    @property
    def num_envs(self) -> int:
        """`B`."""
        return len(self.environments)

    @property
    def spec(self) -> EnvironmentSpec:
        """The spec of one environment."""
        return self._spec

    @property
    def action_repeat(self) -> int:
        """What the environments say of themselves, else 1."""
        return getattr(self.environments[0], "action_repeat", 1)

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream; unfinished ones are dropped."""
        return self._stack([self._reset_one(index) for index in range(self.num_envs)])

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Takes one action in every stream: `[B]`, or `[B, D]`, which is clipped to its bounds.

        Raises:
            UserError: a wrong action, or an environment that breaks its spec.
        """
        actions = self._check_actions(np.asarray(actions))
        return self._stack(
            [
                self._reset_one(index) if self._restart[index] else self._step_one(index, action)
                for index, action in enumerate(actions)
            ]
        )

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns, once each, the episodes that ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def render(self, index: int = 0) -> np.ndarray:
        """Returns the picture `[H, W, 3]` uint8 of one environment.

        Raises:
            UserError: the environment cannot draw itself.
        """
        render = getattr(self.environments[index], "render", None)
        if render is None:
            raise UserError(f"{self._name} has no render() method, so it cannot be drawn")
        return render()

    def close(self) -> None:
        """Closes every environment."""
        for environment in self.environments:
            environment.close()

    def _reset_one(self, index: int) -> dm_env.TimeStep:
        timestep = self._call(index, "reset")
        if not timestep.first():
            self._fail(index, f"reset() must return a FIRST step; got {timestep.step_type!r}")
        self._check_observation(index, timestep.observation)
        self._check_values(index, timestep.observation)
        self._restart[index] = False
        self._returns[index] = 0.0
        self._lengths[index] = 0
        return timestep._replace(reward=0.0, discount=1.0)

    def _step_one(self, index: int, action: np.ndarray) -> dm_env.TimeStep:
        timestep = self._call(index, "step", action)
        if timestep.first():
            self._fail(index, "step() must end an episode with LAST before it returns FIRST")
        self._check_observation(index, timestep.observation)
        timestep = timestep._replace(
            reward=self._check_scalar(index, "reward", timestep.reward),
            discount=self._check_scalar(index, "discount", timestep.discount),
        )
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
        self._check_finite(observation)
        return dm_env.TimeStep(
            step_type=np.array([t.step_type for t in timesteps], np.int32),
            reward=np.array([t.reward for t in timesteps], np.float32),
            discount=np.array([t.discount for t in timesteps], np.float32),
            observation=observation,
        )

    def _call(self, index: int, method: str, *arguments: np.ndarray) -> dm_env.TimeStep:
        return checks.call(self._where(index), self.environments[index], method, *arguments)

    def _check_finite(self, observation: Nest) -> None:
        for (field, spec), leaf in zip(self._flat_specs, tree.flatten(observation), strict=True):
            if spec.dtype.kind == "f" and (found := checks.find_not_finite(leaf)):
                index, value = found
                self._fail(index, f"observation field '{field}' must be finite; got {value}")

    def _check_same_spec(self, index: int, other: EnvironmentSpec) -> None:
        try:
            same = tree.map_structure(_same_array, self._spec, other)
        except (TypeError, ValueError):
            same = [False]
        if not all(tree.flatten(same)):
            self._fail(
                index,
                "all environments of a vector need equal specs; "
                f"expected {self._spec}, got {other}",
            )

    def _check_actions(self, actions: np.ndarray) -> np.ndarray:
        if not isinstance(self._spec.actions, specs.DiscreteArray):
            return self._check_vectors(actions)
        count = self._spec.actions.num_values
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise UserError(
                f"{self._name}: actions must be {self.num_envs} integers; "
                f"got shape {actions.shape}, dtype {actions.dtype}"
            )
        for index, (action, ignored) in enumerate(zip(actions, self._restart, strict=True)):
            if not ignored and not 0 <= action < count:
                self._fail(index, f"action must be in 0..{count - 1}; got {action}")
        return actions.astype(self._spec.actions.dtype)

    def _check_vectors(self, actions: np.ndarray) -> np.ndarray:
        spec = self._spec.actions
        if actions.shape != (self.num_envs, *spec.shape) or actions.dtype.kind != "f":
            raise UserError(
                f"{self._name}: actions must be floats {[self.num_envs, *spec.shape]}; "
                f"got shape {actions.shape}, dtype {actions.dtype}"
            )
        for index, (action, ignored) in enumerate(zip(actions, self._restart, strict=True)):
            if not ignored and not np.isfinite(action).all():
                self._fail(index, f"action must be finite; got {action}")
        return np.clip(actions, spec.minimum, spec.maximum).astype(spec.dtype)

    def _check_observation(self, index: int, observation: Nest) -> None:
        leaves = tree.flatten(observation)
        if len(leaves) != len(self._flat_specs):
            self._fail(
                index, f"observation needs {len(self._flat_specs)} arrays; got {len(leaves)}"
            )
        for (field, spec), leaf in zip(self._flat_specs, leaves, strict=True):
            shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", type(leaf))
            if shape != spec.shape or dtype != spec.dtype:
                self._fail(
                    index,
                    f"observation field '{field}' must have shape {spec.shape}, "
                    f"dtype {spec.dtype}; got shape {shape}, dtype {dtype}",
                )

    def _check_values(self, index: int, observation: Nest) -> None:
        expected, got = [field for field, _ in self._flat_specs], _field_names(observation)
        if got != expected:
            self._fail(index, f"the observation must have the fields {expected}; got {got}")
        for (field, spec), leaf in zip(self._flat_specs, tree.flatten(observation), strict=True):
            try:
                spec.validate(leaf)
            except ValueError as error:
                self._fail(index, f"observation field '{field}': {' '.join(str(error).split())}")

    def _check_scalar(self, index: int, field: str, value: object) -> float:
        array = np.asarray(value)
        if array.shape != () or array.dtype.kind not in "fiub" or not math.isfinite(array):
            self._fail(index, f"{field} must be one finite number; got {value!r}")
        return float(array)

    def _fail(self, index: int, message: str) -> NoReturn:
        raise UserError(f"{self._where(index)}: {message}")

    def _where(self, index: int) -> str:
        return f"{self._name}, environment {index} of the vector"


def _is_supported(spec: specs.Array) -> bool:
    """Whether actions are choices, or vectors of float32."""
    if isinstance(spec, specs.DiscreteArray):
        return True
    return (
        isinstance(spec, specs.BoundedArray) and spec.dtype == np.float32 and len(spec.shape) == 1
    )


def _same_array(left: specs.Array, right: specs.Array) -> bool:
    return (
        left.shape == right.shape
        and left.dtype == right.dtype
        and getattr(left, "num_values", None) == getattr(right, "num_values", None)
    )


def _field_names(nest: Nest) -> list[str]:
    return ["/".join(map(str, path)) or "observation" for path, _ in tree.flatten_with_path(nest)]


@dataclasses.dataclass(frozen=True)
class SyncFactory:
    """Makes `SyncVectorEnvironment`s; see `vectorize`.

    make_environment: `make_environment(seed, evaluation)`, of a single one.
    name: what error messages call the environment.
    """

    make_environment: Callable[[int, bool], dm_env.Environment]
    name: str

    def __call__(self, seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        """Makes `num_envs` environments."""
        seeds = environment_seeds(self.name, seed, num_envs, evaluation)
        environments = [self.make_environment(s, evaluation) for s in seeds]
        return SyncVectorEnvironment(environments, self.name)


def vectorize(
    make_environment: Callable[[int, bool], dm_env.Environment], name: str = "environment"
) -> SyncFactory:
    """Makes a factory of vectors from a maker of single environments.

    The seed of each environment is drawn by `np.random.SeedSequence` from the seed of the
    vector, the index in it, and whether it is for evaluation: environments of one vector
    differ, a longer vector starts with the seeds of a shorter one, and an evaluator that
    was given the actor's seed does not replay its episodes.

    Args:
        make_environment: `make_environment(seed, evaluation)`, seeds in 0..2**32-1.
        name: what error messages call the environment.
    """
    return SyncFactory(make_environment, name)


def environment_seeds(name: str, seed: int, num_envs: int, evaluation: bool) -> list[int]:
    """Returns the seeds, in 0..2**32-1, of the environments of a vector; see `vectorize`.

    Raises:
        UserError: a negative seed, or no environments.
    """
    if seed < 0:
        raise UserError(f"{name}: the seed must not be negative; got {seed}")
    if num_envs < 1:
        raise UserError(f"{name}: a vector needs at least 1 environment; got {num_envs}")
    return [environment_seed(seed, index, evaluation) for index in range(num_envs)]


def environment_seed(seed: int, index: int, evaluation: bool) -> int:
    """Returns the seed, in 0..2**32-1, of one environment of a vector."""
    sequence = np.random.SeedSequence(seed, spawn_key=(int(evaluation), index))
    return int(sequence.generate_state(1)[0])
