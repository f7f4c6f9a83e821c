"""Running statistics of observations in PPO's update."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.ppo.networks import PPONetworks
from mukoe.learning.learner import LearnerState, TargetUpdateConfig, UpdateFunction
from mukoe.networks.history import stack_rows
from mukoe.networks.observation_statistics import add_batch
from mukoe.types import Array, LossFunction, Sample, split_legal_actions


def with_statistics(
    update: UpdateFunction, networks: PPONetworks, config: PPOConfig
) -> UpdateFunction:
    """Returns an update that ends with the statistics of its batch.

    All gradient steps have the statistics before the update, those of the behaviour policy: new
    ones would change its probabilities.
    """
    if not config.network.normalize_observations:
        return update

    def updated(
        loss: LossFunction,
        optimizer: optax.GradientTransformation,
        target_update: TargetUpdateConfig,
        state: LearnerState,
        sample: Sample,
    ) -> tuple[LearnerState, Mapping[str, Array], Array | None, Array]:
        made, metrics, priorities, finite = update(loss, optimizer, target_update, state, sample)
        rows, history = sample.rows, config.history.frames - 1
        features, _ = split_legal_actions(rows.observation)
        inputs = stack_rows(features, rows.action, rows.mask, config.history, networks.num_actions)
        params = add_batch(made.params, inputs, rows.mask[:, history:], state.steps)
        params = jax.tree.map(lambda new, old: jnp.where(finite, new, old), params, made.params)
        return made._replace(params=params), metrics, priorities, finite

    return updated
