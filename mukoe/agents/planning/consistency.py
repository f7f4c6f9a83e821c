"""Self-supervised consistency of a model's states (EfficientZero, arXiv:2111.00210, section 4.1).

The state `s^_k` that the model reaches after `k` actions predicts the state of the observation
that followed:

    L_k = 1 - cos( predict(project(s^_k)), stop_gradient(project(h(o_{t+k}))) )      k = 1 .. K

Both branches share all parameters; only the branch of the model has the predictor and a
gradient. A step counts where its action was taken, the last action of an episode included,
because the final observation is stored.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import chex
import jax
import jax.numpy as jnp
import optax
from msgspec import Meta

from mukoe.configuration.bounds import WIDEST_LAYER, NonNegativeFloat, UnrolledCount
from mukoe.configuration.fields import Validated
from mukoe.nests import merge_batch_and_time, take
from mukoe.networks.projection import Networks, ProjectedNetworks, with_projection
from mukoe.types import Array, Nest, Params


@dataclasses.dataclass(frozen=True)
class ConsistencyConfig(Validated):
    """The consistency loss, and the sizes of projector and predictor."""

    # Weight of the loss; 0 trains no projection. EfficientZero: 2; version 2: 5 on Atari.
    weight: NonNegativeFloat = 0.0
    # Unroll steps of a sample that are compared, drawn without replacement; None for all. Each
    # costs a representation. EfficientZero: all.
    num_steps: UnrolledCount | None = None
    # P, length of a projection. EfficientZero: 1024.
    projection_size: Annotated[int, Meta(ge=1, le=WIDEST_LAYER)] = 256
    # Width of the predictor's hidden layer. EfficientZero: 512.
    predictor_size: Annotated[int, Meta(ge=1, le=WIDEST_LAYER)] = 128


def add_projection(networks: Networks, spec: Nest, config: ConsistencyConfig) -> Networks:
    """Returns networks with a projection where the consistency loss has a weight.

    Args:
      networks: networks of the agent.
      spec: spec of one input of the representation.
      config: settings of the loss.
    """
    if not config.weight:
        return networks
    return with_projection(networks, spec, config.projection_size, config.predictor_size)


def consistency_losses(
    networks: ProjectedNetworks,
    params: Params,
    states: Sequence[Array],
    inputs: Nest,
    acted: Array,
    key: chex.PRNGKey,
    config: ConsistencyConfig,
) -> jax.Array:
    """Returns the mean of `L_k` over the unroll steps, `[B]`.

    Args:
      networks: networks with a projection.
      params: their parameters.
      states: `K` states `[B, ...]` of the model, after each action.
      inputs: `[B, K, ...]` network inputs of the observations after the actions.
      acted: `[B, K]` mask, 1 where the action was taken.
      key: random key of the compared steps.
      config: settings of the loss.
    """
    projection = networks.projection
    assert projection is not None
    chex.assert_tree_shape_prefix(inputs, acted.shape)
    chex.assert_equal(len(states), acted.shape[1])
    batch, steps = acted.shape
    count = min(config.num_steps or steps, steps)
    compared = jax.tree.map(jnp.asarray, (jnp.stack(states, 1), inputs, acted))
    if count < steps:
        drawn = jnp.argsort(jax.random.uniform(key, acted.shape), axis=1)[:, :count]
        rows = jnp.arange(batch)[:, None]
        compared = take(compared, rows, drawn)
    predicted_states, inputs, acted = compared
    predicted_states, inputs = merge_batch_and_time((predicted_states, inputs))

    predicted = projection.predict(params, projection.project(params, predicted_states))
    observed = projection.project(params, networks.representation(params, inputs))
    distance = optax.cosine_distance(predicted, jax.lax.stop_gradient(observed), epsilon=1e-6)
    return jnp.sum(acted * jnp.reshape(distance, (batch, count)), axis=1) / count
