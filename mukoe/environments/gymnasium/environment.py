"""Any Gymnasium environment with finitely many or bounded actions as a dm_env environment."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.environments.vector import EnvironmentFactory, vectorize
from mukoe.errors import UserError

MAX_ACTIONS = 10_000
"""The largest product of a MultiDiscrete action space: each action is an output of a network."""

Encoder = Callable[[Any], np.ndarray]


class GymnasiumEnvironment(dm_env.Environment):
    """A Gymnasium environment seen through dm_env.

    Actions. `Discrete(n, start)`: action `a` is `start + a`. `MultiDiscrete(nvec)`: one action
    out of the product of `nvec`, the last entry changing fastest (`np.unravel_index`, C order),
    so with `nvec = [2, 3]` action 4 is `[1, 1]`. `Box` of floats with finite bounds: a vector of
    its entries in C order, float32 in [-1, 1] for [low, high]; what lies outside is clipped.

    Observations. `Box` of floats: float32; of uint8: as it is; of anything else, and
    `MultiBinary`: float32. `Discrete`: one-hot float32 `[n]`. `MultiDiscrete`: its one-hots one
    after the other. `Tuple` and `Dict`, nested too, of parts with at most one axis: all parts
    one after the other in the order of the space, float32 (uint8 is not rescaled).

    Ends. Terminated is discount 0; truncated is discount 1; both is terminated.
    """

    def __init__(self, environment: gymnasium.Env, seed: int | None = None):
        """Takes over an environment.

        Args:
            environment: the environment, with whatever wrappers (TimeLimit) it should have.
            seed: given to the first reset only; later episodes go on with its generator.

        Raises:
            UserError: its actions or observations are of an unsupported kind.
        """
        self._environment = environment
        self._seed = seed
        name = environment.spec.id if environment.spec else type(environment.unwrapped).__name__
        self._action_spec, self._decode = _action_decoder(environment.action_space, name)
        self._observation_spec, self._encode = _observation_encoder(
            environment.observation_space, name
        )
        self._restart = True

    def observation_spec(self) -> specs.Array:
        """Returns the one array that an observation is."""
        return self._observation_spec

    def action_spec(self) -> specs.BoundedArray:
        """Returns the number of actions (`DiscreteArray`), or the length of one and its bounds."""
        return self._action_spec

    @property
    def action_repeat(self) -> int:
        """Steps of the environment for each action, where a wrapper says so, else 1."""
        return getattr(self._environment, "action_repeat", 1)

    def reward_spec(self) -> specs.Array:
        """Returns a float32."""
        return specs.Array((), np.float32, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        observation, _ = self._environment.reset(seed=self._seed)
        self._seed = None
        self._restart = False
        return dm_env.restart(self._encode(observation))

    def step(self, action: int | np.ndarray) -> dm_env.TimeStep:
        """Takes an action; after LAST, starts an episode instead."""
        if self._restart:
            return self.reset()
        observation, reward, terminated, truncated, _ = self._environment.step(self._decode(action))
        encoded, reward = self._encode(observation), float(reward)
        self._restart = bool(terminated or truncated)
        if terminated:
            return dm_env.termination(reward, encoded)
        if truncated:
            return dm_env.truncation(reward, encoded, discount=1.0)
        return dm_env.transition(reward, encoded, discount=1.0)

    def render(self) -> Any:
        """Returns what the environment draws: a picture if made with `render_mode='rgb_array'`."""
        return self._environment.render()

    def close(self) -> None:
        """Closes the environment."""
        self._environment.close()


def _action_decoder(
    space: spaces.Space, name: str
) -> tuple[specs.BoundedArray, Callable[[Any], Any]]:
    decode: Callable[[Any], Any]
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return _box_decoder(space, name)
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        count, decode = int(space.n), lambda action: start + int(action)
    elif isinstance(space, spaces.MultiDiscrete):
        count, decode = _multi_discrete_decoder(space)
    else:
        raise UserError(
            f"Gymnasium environment '{name}' has actions {space}; "
            "supported are Discrete, MultiDiscrete, and Box of floats"
        )
    if count > MAX_ACTIONS:
        raise UserError(
            f"Gymnasium environment '{name}' has {count} actions ({space}); "
            f"supported are at most {MAX_ACTIONS}"
        )
    return specs.DiscreteArray(count, np.int32, name="action"), decode


def _box_decoder(
    space: spaces.Box, name: str
) -> tuple[specs.BoundedArray, Callable[[np.ndarray], np.ndarray]]:
    low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise UserError(
            f"Gymnasium environment '{name}' has actions {space}; supported are those with finite "
            "bounds, each low below its high"
        )

    def decode(action: np.ndarray) -> np.ndarray:
        share = (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) / 2.0
        scaled = (low + share * (high - low)).astype(space.dtype)
        return np.clip(scaled, space.low.ravel(), space.high.ravel()).reshape(space.shape)

    return specs.BoundedArray(low.shape, np.float32, -1.0, 1.0, name="action"), decode


def _multi_discrete_decoder(space: spaces.MultiDiscrete) -> tuple[int, Callable[[Any], Any]]:
    sizes = tuple(int(n) for n in space.nvec.flat)

    def decode(action: int) -> np.ndarray:
        choices = np.array(np.unravel_index(int(action), sizes), space.dtype)
        return space.start + choices.reshape(space.nvec.shape)

    return int(np.prod(sizes, dtype=object)), decode


def _observation_encoder(space: spaces.Space, name: str) -> tuple[specs.Array, Encoder]:
    if isinstance(space, spaces.Box) and space.dtype == np.uint8:
        spec = specs.BoundedArray(space.shape, np.uint8, 0, 255, name="observation")
        return spec, lambda observation: np.array(observation, np.uint8)
    shape, encode = _float_encoder(space, name)
    return specs.Array(shape, np.float32, name="observation"), encode


def _float_encoder(space: spaces.Space, name: str) -> tuple[tuple[int, ...], Encoder]:
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return space.shape, lambda observation: np.array(observation, np.float32)
    if isinstance(space, spaces.Discrete):
        return (int(space.n),), _one_hot_encoder(space.n, space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return (int(space.nvec.sum()),), _one_hot_encoder(space.nvec, space.start)
    if isinstance(space, spaces.Tuple):
        return _concatenating_encoder(dict(enumerate(space.spaces)), name)
    if isinstance(space, spaces.Dict):
        return _concatenating_encoder(space.spaces, name)
    raise UserError(
        f"Gymnasium environment '{name}' has observations {space}; supported are Box, MultiBinary, "
        "Discrete, MultiDiscrete, and Tuple or Dict of them"
    )


def _one_hot_encoder(sizes: Any, start: Any) -> Encoder:
    """Encodes one or several choices as their one-hots, one after the other."""
    sizes = np.atleast_1d(sizes).ravel()
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]) - np.atleast_1d(start).ravel()
    width = int(sizes.sum())

    def encode(observation: Any) -> np.ndarray:
        vector = np.zeros(width, np.float32)
        vector[np.ravel(observation) + offsets] = 1.0
        return vector

    return encode


def _concatenating_encoder(
    parts: Mapping[Any, spaces.Space], name: str
) -> tuple[tuple[int, ...], Encoder]:
    encoders: dict[Any, Encoder] = {}
    width = 0
    for key, space in parts.items():
        shape, encoders[key] = _float_encoder(space, name)
        if len(shape) > 1:
            raise UserError(
                f"Gymnasium environment '{name}' has an observation part '{key}' of shape {shape}; "
                "supported in a Tuple or Dict are parts with at most one axis"
            )
        width += int(np.prod(shape))

    def encode(observation: Any) -> np.ndarray:
        return np.concatenate([np.ravel(encoders[key](observation[key])) for key in encoders])

    return (width,), encode


def make_gymnasium(
    name: str,
    wrapper: Callable[[gymnasium.Env], gymnasium.Env] = lambda environment: environment,
    /,
    **kwargs: Any,
) -> EnvironmentFactory:
    """Makes the environment factory of a registered Gymnasium environment.

    One environment is made and closed at once, so that a mistake shows here.

    Args:
        name: such as CartPole-v1, or module:Name-v0 to import a module first.
        wrapper: put around each environment.
        **kwargs: for `gymnasium.make`, such as `render_mode='rgb_array'`.

    Raises:
        UserError: the name is unknown, a package is missing, the arguments are wrong, or its
            spaces are unsupported.
    """

    def make_environment(seed: int, evaluation: bool) -> GymnasiumEnvironment:
        del evaluation  # Gymnasium environments are the same in training and evaluation.
        environment = gymnasium.make(name, disable_env_checker=True, **kwargs)
        return GymnasiumEnvironment(wrapper(environment), seed)

    try:
        make_environment(0, False).close()
    except (gymnasium.error.UnregisteredEnv, ModuleNotFoundError) as error:
        near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"Gymnasium says: {error}"
        raise UserError(f"there is no Gymnasium environment '{name}'; {hint}") from error
    except UserError:
        raise
    except Exception as error:  # whatever an environment says to its arguments
        raise UserError(
            f"Gymnasium environment '{name}' cannot be made: {type(error).__name__}: {error}"
        ) from error
    return vectorize(make_environment, name=f"Gymnasium {name}")


@dataclasses.dataclass(frozen=True)
class GymnasiumConfig:
    """A registered Gymnasium environment."""

    # As `gymnasium.make` takes it, such as CartPole-v1 or module:Name-v0.
    env: str
    # Further arguments of `gymnasium.make`.
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`; see `make_gymnasium`."""
        return make_gymnasium(self.env, **self.arguments)

    def with_rendering(self) -> "GymnasiumConfig":
        """Returns the same environment, ready to be drawn."""
        return dataclasses.replace(self, arguments={**self.arguments, "render_mode": "rgb_array"})
