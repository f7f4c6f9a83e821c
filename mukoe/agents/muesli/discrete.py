"""Muesli with `A` discrete actions, all of which are candidates."""

from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.agents.muesli.cmpo import cmpo_policy, sampled_cmpo_target
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.look_ahead import LookAhead, PolicyTarget, one_step_values
from mukoe.nests import merge_batch_and_time
from mukoe.networks.distributions import Categorical, categorical_policy
from mukoe.networks.models import MuZeroNetworks
from mukoe.search.root import complete_mask
from mukoe.types import Array, Nest, Params, Row, split_legal_actions


class DiscreteActions:
    """`MuesliActions` of `A` actions; stores the probabilities `behavior_policy` `[A]`."""

    def __init__(self, networks: MuZeroNetworks, config: MuesliConfig, discount: float):
        """Builds the parts; `discount` is negative if players take turns."""
        self.space = networks.action_space
        self._networks = networks
        self._config = config.loss
        self._discount = discount

    @property
    def extras_spec(self) -> Mapping[str, specs.Array]:
        shape = (self._networks.action_space.size,)
        return {"behavior_policy": specs.Array(shape, np.float32, "behavior_policy")}

    def policy(self, outputs: Array, legal_actions: Array | None = None) -> Categorical:
        return categorical_policy(outputs, legal_actions)

    def stored(self, policy: Categorical) -> Mapping[str, Array]:
        return {"behavior_policy": policy.probs()}

    def behavior(self, extras: Mapping[str, Array]) -> Categorical:
        return Categorical(jnp.log(jnp.maximum(extras["behavior_policy"], 1e-8)))

    def look_ahead(
        self, target_params: Params, rows: Row, inputs: Nest, key: chex.PRNGKey
    ) -> LookAhead:
        del key  # All actions are candidates; none is sampled.
        networks, behavior = self._networks, rows.extras["behavior_policy"]
        state = networks.representation(target_params, merge_batch_and_time(inputs))
        logits = networks.prediction(target_params, state).policy_logits
        every = jnp.broadcast_to(
            jnp.arange(networks.action_space.size)[:, None],
            (networks.action_space.size, state.shape[0]),
        )
        values = one_step_values(networks, target_params, state, every, self._discount)
        values = values.T.reshape(behavior.shape)
        # Final positions and padding have no legal action.
        legal = complete_mask(split_legal_actions(rows.observation)[1], values)
        target = categorical_policy(logits.reshape(behavior.shape), legal).probs()
        prior = self._mixed_prior(target, behavior, legal)
        taken = rows.action[..., None]
        return LookAhead(
            values=jnp.sum(prior * values, axis=-1),
            taken_values=_at(values, taken),
            ratios=_at(prior, taken) / jnp.maximum(_at(behavior, taken), 1e-8),
            prior=prior,
            action_values=values,
        )

    def improve(self, look: LookAhead, scale: Array, key: chex.PRNGKey) -> PolicyTarget:
        advantages = (look.action_values - look.values[..., None]) / scale
        clip, num_samples = self._config.advantage_clip, self._config.num_samples
        if num_samples:
            weights = sampled_cmpo_target(key, look.prior, advantages, clip, num_samples)
        else:
            weights = cmpo_policy(look.prior, advantages, clip)
        return PolicyTarget(weights, jnp.log(jnp.maximum(weights, 1e-20)))

    def log_probs(self, policy: Categorical, target: PolicyTarget) -> jax.Array:
        del target
        return jax.nn.log_softmax(policy.logits)

    def _mixed_prior(self, target: Array, behavior: Array, legal: Array) -> Array:
        """Returns `(1 - b - u) π_target + b π_b + u uniform` `[..., A]`, uniform if legal."""
        config = self._config
        legal = legal.astype(target.dtype)
        uniform = legal / jnp.sum(legal, axis=-1, keepdims=True)
        rest = 1.0 - config.prior_behavior - config.prior_uniform
        return rest * target + config.prior_behavior * behavior + config.prior_uniform * uniform


def _at(values: Array, index: Array) -> Array:
    """Selects the entry `index` `[..., 1]` of the last axis."""
    return jnp.take_along_axis(values, index, axis=-1)[..., 0]
