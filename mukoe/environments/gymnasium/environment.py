"""Adapter of Gymnasium environments to dm_env."""

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs

from mukoe.environments.gymnasium.action_masks import (
    MaskSource,
    check_discrete,
    read_mask,
    split_mask,
    warn_unused,
    without_mask,
)
from mukoe.environments.gymnasium.action_names import action_names
from mukoe.environments.gymnasium.actions import make_action_decoder
from mukoe.environments.gymnasium.observations import make_observation_encoder
from mukoe.environments.gymnasium.sequences import DEFAULT_LIMITS, SequenceLimits
from mukoe.errors import UserError
from mukoe.types import MaskedObservation, Nest

_RESET_RESULT = "(observation, info)"
_STEP_RESULT = "(observation, reward, terminated, truncated, info)"
_WRAPPERS = ("gymnasium.wrappers", "gymnasium.core")


class GymnasiumEnvironment(dm_env.Environment):
    """dm_env adapter of a Gymnasium environment.

    Action spaces:
      - `Discrete(n, start)`: int32 in 0..n-1; action `a` is `start + a`.
      - `MultiDiscrete(nvec)`: int32 index into the product of `nvec` in C order
        (`np.unravel_index`); with `nvec = [2, 3]` action 4 is `[1, 1]`.
      - `Box` of floats with finite bounds: float32 `[D]`, the entries in C order, with [-1, 1]
        mapped to [low, high] and clipped.
      - `MultiBinary`, `Dict` and `Tuple`, and a `MultiDiscrete` of more than 10,000 combinations: a
        vector of choices and numbers, a `ProductArray`.

    Observation spaces:
      - `Box` of uint8: unchanged, uint8 in 0..255. Other `Box`, and `MultiBinary`: float32 of the
        same shape.
      - `Discrete`: one-hot float32 `[n]`. `MultiDiscrete`: concatenated one-hots.
      - A scalar has shape [1].
      - `MultiDiscrete` `[H, W, C]` with the same choices in all places: a `ChoiceImage`.
      - `Text`: a `TokenArray` of characters, or of the words of a vocabulary.
      - `Sequence` of entries with at most one axis: a `SequenceArray`.
      - `Tuple` and `Dict`, also nested, of parts with at most one axis: concatenated parts in the
        order of the space, float32 (uint8 is not rescaled). With any other part: a tuple or a dict
        of the encoded parts, of which matrices are images of one channel (uint8) or sequences.

    With an action mask, observations are `MaskedObservation`s of the encoded observation without
    the mask.

    Episode ends: terminated is discount 0, truncated is discount 1, both is terminated.
    """

    def __init__(
        self,
        environment: gymnasium.Env,
        seed: int | None = None,
        action_mask: MaskSource = "none",
        limits: SequenceLimits = DEFAULT_LIMITS,
    ):
        """Takes ownership of an environment.

        Args:
            environment: environment, including its wrappers such as TimeLimit.
            seed: seed of the first reset; later episodes continue its random sequence.
            action_mask: place of the legal-action mask.
            limits: bounds of texts and sequences.

        Raises:
            UserError: an action or observation space is not supported, or has no mask.
        """
        self._environment = environment
        self._seed = seed
        self._mask_source = action_mask
        self._name = name = _name_of(environment)
        self._action_spec, self._decode = make_action_decoder(environment.action_space, name)
        if action_mask == "none":
            parts = getattr(environment.observation_space, "spaces", None)
            warn_unused(parts, "observation", name)
        else:
            check_discrete(environment.action_space, name)
        self._feature_space = split_mask(environment.observation_space, action_mask, name)
        self._feature_spec, self._encode = make_observation_encoder(
            self._feature_space, name, limits
        )
        self._restart = True

    @property
    def native(self) -> gymnasium.Env:
        """Adapted environment."""
        return self._environment

    def encode_observation(self, observation: Any, info: Any) -> Nest:
        """Returns a native observation as the agent observes it.

        Raises:
            UserError: the observation does not belong to the space, or has no mask.
        """
        return self._observe(observation, info, is_last=False)

    def decode_action(self, action: int | np.ndarray) -> Any:
        """Returns an action of the agent as the native environment takes it."""
        return self._decode(action)

    def observation_spec(self) -> Nest:
        """Returns the spec of the encoded observation, an array or a nest of its parts.

        With an action mask it is the features of a `MaskedObservation`.
        """
        if self._mask_source == "none":
            return self._feature_spec
        size = self._action_spec.num_values
        return MaskedObservation(self._feature_spec, specs.Array((size,), bool, "legal_actions"))

    def action_spec(self) -> specs.BoundedArray:
        """Returns the spec of the action: int32 in 0..A-1, float32 `[D]`, or several parts."""
        return self._action_spec

    @property
    def action_repeat(self) -> int:
        """Attribute `action_repeat` of a wrapper: environment steps per action; 1 without it."""
        return getattr(self._environment, "action_repeat", 1)

    def reward_spec(self) -> specs.Array:
        """Returns the spec of the reward, `[]` float32."""
        return specs.Array((), np.float32, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode.

        Raises:
            UserError: `reset` does not return an observation of the space and info.
        """
        with _described_results("reset", _RESET_RESULT):
            result: Any = self._environment.reset(seed=self._seed)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise UserError(f"reset() must return {_RESET_RESULT}; got {_describe(result)}")
        self._seed = None
        self._restart = False
        return dm_env.restart(self._observe(*result, is_last=False))

    def step(self, action: int | np.ndarray) -> dm_env.TimeStep:
        """Applies an action; after LAST, starts an episode instead.

        Raises:
            UserError: `step` does not return Gymnasium's five values, or the observation does not
                belong to the space.
        """
        if self._restart:
            return self.reset()
        with _described_results("step", _STEP_RESULT):
            result: Any = self._environment.step(self._decode(action))
        if not (isinstance(result, tuple) and len(result) == 5):
            raise UserError(f"step() must return {_STEP_RESULT}; got {_describe(result)}")
        observation, reward, terminated, truncated, info = result
        self._restart = bool(terminated or truncated)
        encoded = self._observe(observation, info, self._restart)
        reward = reward if isinstance(reward, float) else np.squeeze(reward)
        if terminated:
            return dm_env.termination(reward, encoded)
        if truncated:
            return dm_env.truncation(reward, encoded, discount=1.0)
        return dm_env.transition(reward, encoded, discount=1.0)

    def action_names(self) -> list[str]:
        """Returns the names of discrete actions."""
        return action_names(self._environment)

    def render(self) -> Any:
        """Returns the environment's rendering, `[H, W, 3]` uint8 with `render_mode='rgb_array'`."""
        return self._environment.render()

    def close(self) -> None:
        """Closes the environment."""
        self._environment.close()

    def _observe(self, observation: Any, info: Any, is_last: bool) -> Nest:
        """Returns the encoded observation, a `MaskedObservation` with an action mask."""
        if self._mask_source == "none":
            warn_unused(info, "info", self._name)
            return self._encode(observation)
        holder = info if self._mask_source == "info" else observation
        size = self._action_spec.num_values
        mask = read_mask(holder, size, self._mask_source, is_last)
        if self._mask_source == "observation":
            observation = without_mask(observation, self._feature_space)
        return MaskedObservation(self._encode(observation), mask)


@contextlib.contextmanager
def _described_results(method: str, expected: str) -> Iterator[None]:
    """Describes the error of a Gymnasium wrapper that cannot unpack the result of an environment.

    Args:
        method: name of the method, `reset` or `step`.
        expected: description of its result.

    Raises:
        UserError: a wrapper failed; errors of the environment itself are unchanged.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        in_wrapper = frame.f_globals.get("__name__", "").startswith(_WRAPPERS)
        if not (in_wrapper and frame.f_code.co_name == method):
            raise
        raise UserError(f"{method}() must return {expected}; got {error}") from error


def _name_of(environment: gymnasium.Env) -> str:
    name = environment.spec.id if environment.spec else type(environment.unwrapped).__name__
    return f"Gymnasium environment '{name}'"


def _describe(result: Any) -> str:
    kind = type(result).__name__
    return f"a tuple of {len(result)}" if isinstance(result, tuple) else f"one {kind}"
