"""The networks' share of the time of a policy."""

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from dm_env import specs

from mukoe.types import Array, Nest, PolicyParams

_REPEATS = 5


def network_seconds(
    calls: Callable[[PolicyParams, Nest], Array],
    params: PolicyParams,
    observation_spec: Nest,
    batch_size: int,
) -> float:
    """Returns the median seconds of `calls` on JAX's default device, without compilation.

    Args:
      calls: network calls of a policy, `(params, observation [B, ...]) -> array`, see
        `mukoe.agents.extensions.ProfilesNetworks`.
      params: parameters of the policy.
      observation_spec: observation spec of one environment.
      batch_size: batch size `B`.
    """

    def zeros(spec: specs.Array) -> np.ndarray:
        return np.zeros((batch_size, *spec.shape), spec.dtype)

    observation = jax.tree.map(zeros, observation_spec)
    params = jax.device_put(params)
    compiled = jax.jit(calls)
    seconds = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        jax.block_until_ready(compiled(params, observation))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def divide_policy(parts: dict[str, float], policy_share_of_network: float) -> dict[str, float]:
    """Divides the share `policy` into `network` and `tree`.

    Args:
      parts: shares by part of the work.
      policy_share_of_network: fraction in [0, 1] of the policy's time that its networks take.
        The rest belongs to the tree: search, history and dispatch.
    """
    rest = dict(parts)
    policy = rest.pop("policy", 0.0)
    network = policy * policy_share_of_network
    return {"network": network, "tree": policy - network, **rest}
