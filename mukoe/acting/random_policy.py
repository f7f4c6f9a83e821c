"""Uniformly random legal actions, as a policy and as a function."""

from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.networks.action_space import ProductSpace
from mukoe.networks.distributions import GaussianConfig
from mukoe.types import (
    Array,
    EnvironmentSpec,
    Nest,
    Policy,
    PolicyParams,
    ProductArray,
    is_continuous,
    split_legal_actions,
)


def make_random_policy(spec: EnvironmentSpec) -> Policy:
    """Returns the policy: uniform over the legal actions, or within the bounds.

    It has no memory and no parameters, and stores no extras.
    """

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, Mapping[str, Array], Nest]:
        del params
        batch_size = jax.tree.leaves(observation)[0].shape[0]
        if isinstance(spec.actions, ProductArray):
            space = ProductSpace(spec.actions.choices, GaussianConfig())
            return space.uniform(key, (batch_size,)), {}, state
        if is_continuous(spec):
            low, high = np.asarray(spec.actions.minimum), np.asarray(spec.actions.maximum)
            shape = (batch_size, *spec.actions.shape)
            return jax.random.uniform(key, shape, jnp.float32, low, high), {}, state
        _, legal = split_legal_actions(observation)
        logits = jnp.zeros((batch_size, int(spec.actions.num_values)))
        logits = logits if legal is None else jnp.where(legal, logits, -jnp.inf)
        return jax.random.categorical(key, logits).astype(jnp.int32), {}, state

    return Policy(apply=apply, initial_state=lambda batch_size: (), extras_spec={})


def random_actions(
    spec: EnvironmentSpec, observation: Nest, random: np.random.Generator
) -> np.ndarray:
    """Returns the actions `[B, ...]` of the policy above, without a compilation.

    Args:
      spec: spec of the environment.
      observation: observations `[B, ...]`.
      random: source of the random numbers.
    """
    batch_size = jax.tree.leaves(observation)[0].shape[0]
    if isinstance(spec.actions, ProductArray):
        key = jax.random.PRNGKey(random.integers(2**31))
        space = ProductSpace(spec.actions.choices, GaussianConfig())
        return np.asarray(space.uniform(key, (batch_size,)))
    if is_continuous(spec):
        low, high = spec.actions.minimum, spec.actions.maximum
        return random.uniform(low, high, (batch_size, *spec.actions.shape)).astype(np.float32)
    _, legal = split_legal_actions(observation)
    noise = random.random((batch_size, int(spec.actions.num_values)))
    if legal is not None:
        noise = np.where(np.asarray(legal), noise, -1.0)
    return noise.argmax(axis=-1).astype(np.int32)
