"""Running statistics of observations in PPO's update."""

from collections.abc import Mapping

import optax

from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.ppo.losses import rollout_inputs
from mukoe.agents.ppo.networks import PPONetworks
from mukoe.learning.update import LearnerState, TargetUpdateConfig, UpdateFunction
from mukoe.nests import tree_select
from mukoe.networks.observation_statistics import add_batch
from mukoe.types import Array, LossFunction, Sample


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
        inputs = rollout_inputs(networks, config, sample)
        mask = sample.rows.mask[:, config.history.frames - 1 :]
        params = add_batch(made.params, inputs, mask, state.steps)
        made = made._replace(params=tree_select(finite, params, made.params))
        return made, metrics, priorities, finite

    return updated
