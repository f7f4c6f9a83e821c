"""Settings of a Gymnasium environment for an agent that was not made for it."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np

from mukoe.environments.checks import close
from mukoe.environments.gymnasium.action_masks import MASK, MaskSource
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.gymnasium.factory import described_errors
from mukoe.environments.gymnasium.names import with_module

_TIME_LIMIT = 1_000


def with_general_settings(config: GymnasiumConfig) -> GymnasiumConfig:
    """Returns a config with the legal-action mask, amplified observations and a time limit.

    The mask is used where the environment has one. Without a time limit of its own, an
    environment gets one: an agent that never reaches the goal would play one episode forever.

    Args:
        config: environment.

    Raises:
        UserError: the environment cannot be built.
    """
    with described_errors(config.env):
        name = with_module(config.env)
        environment = gymnasium.make(name, disable_env_checker=True, **config.arguments)
    mask = _find_mask(environment)
    arguments = dict(config.arguments)
    if environment.spec is not None and environment.spec.max_episode_steps is None:
        arguments["max_episode_steps"] = _TIME_LIMIT
    close(f"Gymnasium {name}", environment)
    return dataclasses.replace(
        config, arguments=arguments, action_mask=mask, amplify_observations=True
    )


def _find_mask(environment: gymnasium.Env) -> MaskSource:
    if not isinstance(environment.action_space, gymnasium.spaces.Discrete):
        return "none"
    space = environment.observation_space
    if isinstance(space, gymnasium.spaces.Dict) and MASK in space.spaces and len(space.spaces) > 1:
        return "observation"
    # An error, and a result of another form, is reported when the environment is used.
    try:
        result: Any = environment.reset(seed=0)
    except Exception:  # any error of the user's environment
        return "none"
    has_info = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)
    return "info" if has_info and MASK in result[1] else "none"


def amplify(environment: gymnasium.Env) -> gymnasium.Env:
    """Wraps an environment so that entries with bounds within (-1, 1) have magnitudes up to 1.

    A network that begins with weights of order 1 hardly sees smaller numbers, such as the
    velocities of MountainCar, which are at most 0.07. Observations other than floats, and larger
    or unbounded entries, are unchanged.
    """
    space, factors = environment.observation_space, amplification(environment.observation_space)
    if factors is None:
        return environment
    assert isinstance(space, gymnasium.spaces.Box)
    return gymnasium.wrappers.TransformObservation(
        environment,
        lambda observation: observation * factors,
        gymnasium.spaces.Box(space.low * factors, space.high * factors, dtype=space.dtype),
    )


def amplification(space: gymnasium.spaces.Space) -> np.ndarray | None:
    """Returns the factors of `amplify`, None for observations that it does not change."""
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype.kind != "f":
        return None
    largest = np.maximum(np.abs(space.low), np.abs(space.high))
    factors = np.where((largest > 0) & (largest < 1), 1 / np.maximum(largest, 1e-30), 1.0)
    factors = factors.astype(space.dtype)
    return None if (factors == 1).all() else factors
