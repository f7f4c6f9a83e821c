"""Muesli with continuous actions, or of several parts, whose candidates are samples of the prior.

Only CMPO's normaliser needs a finite number of actions. The sampled form estimates it (Hessel
et al. 2021, arXiv:2104.06159, section 4.2, equation 12): with `a_i` from the prior and
weights `w_i` as in `sampled_cmpo_weights`,

    KL(π_CMPO, π) ≈ 1/N Σ_i w_i (log w_i + log π_prior(a_i | s) - log π(a_i | s)).

The same samples give `v(s) = 1/N Σ_i q(s, a_i)`. A product of choices and numbers has a joint
probability, the product of those of its parts, and too many actions to enumerate.
"""

from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.agents.muesli.cmpo import sampled_cmpo_weights
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.look_ahead import LookAhead, PolicyTarget, one_step_values
from mukoe.errors import UserError
from mukoe.nests import merge_batch_and_time
from mukoe.networks.action_space import BoxSpace, ProductSpace
from mukoe.networks.distributions import (
    Categorical,
    Gaussian,
    Product,
    TanhGaussian,
    bounded_gaussian,
    candidate_log_probs,
    sample_candidates,
)
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, Nest, Params, Row

Policy = Gaussian | TanhGaussian | Product


class SampledActions:
    """`MuesliActions` of vectors `[D]`: numbers in [-1, 1], and choices in a product.

    It stores `behavior_mean` and `behavior_std` of the `D` numbers, and the probabilities
    `behavior_policy` of all choices, one after the other. Numbers are stored unclipped, for the
    density of the Gaussian; environment and model clip them to the bounds.
    """

    def __init__(
        self,
        networks: MuZeroNetworks,
        space: BoxSpace | ProductSpace,
        config: MuesliConfig,
        discount: float,
    ):
        """Builds the action space.

        Args:
          networks: networks of the model.
          space: actions of the networks.
          config: configuration of the agent.
          discount: discount `γ`, negative if players take turns.

        Raises:
          UserError: `loss.num_samples` is 0.
        """
        if not config.loss.num_samples:
            raise UserError(
                "loss.num_samples must be at least 2 with continuous actions or those of several "
                "parts, not 0 (all actions)"
            )
        self._networks = networks
        self.space = space
        self._config = config.loss
        self._discount = discount
        # Number of choices of each entry; 0 for a number.
        self._choices = space.choices if isinstance(space, ProductSpace) else (0,) * space.size
        self._counts = [count for count in self._choices if count]

    @property
    def extras_spec(self) -> Mapping[str, specs.Array]:
        num_numbers = self._choices.count(0)
        sizes = {
            "behavior_policy": sum(self._counts),
            "behavior_mean": num_numbers,
            "behavior_std": num_numbers,
        }
        return {name: specs.Array((n,), np.float32, name) for name, n in sizes.items() if n}

    def policy(self, outputs: Array, legal_actions: Array | None = None) -> Policy:
        return self.space.policy(outputs, legal_actions)

    def stored(self, policy: Policy) -> Mapping[str, Array]:
        stored: dict[str, Array] = {}
        if isinstance(policy, Product):
            numbers = policy.numbers
            probs = [choice.probs() for choice in policy.choices]
            stored["behavior_policy"] = jnp.concatenate(probs, axis=-1)
        else:
            numbers = policy
        if numbers is not None:
            stored |= {"behavior_mean": numbers.mean, "behavior_std": numbers.std}
        return stored

    def behavior(self, extras: Mapping[str, Array]) -> Policy:
        numbers = None
        if "behavior_std" in extras:
            std = extras["behavior_std"]
            # Padding has standard deviation 0, whose logarithm would make masked sums NaN.
            mean, std = extras["behavior_mean"], jnp.where(std > 0, std, 1.0)
            numbers = bounded_gaussian(mean, std, self.space.gaussian)
        if not self._counts:
            assert numbers is not None
            return numbers
        logits = jnp.log(jnp.maximum(extras["behavior_policy"], 1e-8))
        parts = jnp.split(logits, np.cumsum(self._counts)[:-1], axis=-1)
        is_choice = tuple(count > 0 for count in self._choices)
        return Product(tuple(map(Categorical, parts)), numbers, is_choice)

    def look_ahead(
        self, target_params: Params, rows: Row, inputs: Nest, key: chex.PRNGKey
    ) -> LookAhead:
        networks, count = self._networks, self._config.num_samples
        state = networks.representation(target_params, merge_batch_and_time(inputs))
        outputs = networks.prediction(target_params, state).policy_logits
        target = self.policy(outputs)
        behavior = self.behavior(merge_batch_and_time(dict(rows.extras)))
        taken = merge_batch_and_time(rows.action)
        drawn = self._sample_prior(key, target, behavior, count)
        actions = jnp.concatenate([drawn, taken[None]])
        log_prior = self._prior_log_prob(target, behavior, actions)
        values = one_step_values(networks, target_params, state, actions, self._discount)
        shape = rows.mask.shape

        def per_row(candidates: Array) -> Array:
            return jnp.moveaxis(candidates, 0, 1).reshape(*shape, count, *candidates.shape[2:])

        return LookAhead(
            values=jnp.mean(values[:count], axis=0).reshape(shape),
            taken_values=values[count].reshape(shape),
            ratios=jnp.exp(log_prior[count] - behavior.log_prob(taken)).reshape(shape),
            prior=per_row(log_prior[:count]),
            action_values=per_row(values[:count]),
            actions=per_row(drawn),
        )

    def improve(self, look: LookAhead, scale: Array, key: chex.PRNGKey) -> PolicyTarget:
        del key  # The candidates are samples already.
        advantages = (look.action_values - look.values[..., None]) / scale
        weights = sampled_cmpo_weights(advantages, self._config.advantage_clip)
        count = advantages.shape[-1]
        return PolicyTarget(weights / count, jnp.log(weights) + look.prior, look.actions)

    def log_probs(self, policy: Policy, target: PolicyTarget) -> jax.Array:
        assert target.actions is not None
        return candidate_log_probs(policy, target.actions, axis=target.actions.ndim - 2)

    def _sample_prior(
        self, key: chex.PRNGKey, target: Policy, behavior: Policy, count: int
    ) -> jax.Array:
        """Samples `[N, M, D]` of the mixture of target, behaviour and uniform policy."""
        pick_key, target_key, behavior_key, uniform_key = jax.random.split(key, 4)
        drawn = sample_candidates(behavior, behavior_key, count)
        shape = drawn.shape[:2]
        pick = jax.random.uniform(pick_key, (*shape, 1))
        uniform, config = self.space.uniform(uniform_key, shape), self._config
        old = jnp.where(pick < config.prior_uniform, uniform, drawn)
        new = sample_candidates(target, target_key, count)
        return jnp.where(pick < config.prior_uniform + config.prior_behavior, old, new)

    def _prior_log_prob(self, target: Policy, behavior: Policy, action: Array) -> jax.Array:
        """Returns the log densities, or probabilities, `[N, M]` of the mixture at `[N, M, D]`."""
        config = self._config
        shares = (
            1.0 - config.prior_behavior - config.prior_uniform,
            config.prior_behavior,
            config.prior_uniform,
        )
        is_number = np.array(self._choices) == 0
        inside = jnp.all(jnp.abs(action[..., is_number]) <= 1.0, axis=-1)
        # A number has density 1/2 in [-1, 1].
        widths = [count or 2 for count in self._choices]
        uniform = jnp.where(inside, -np.sum(np.log(widths)), -jnp.inf)
        policies = [jax.vmap(policy.log_prob)(action) for policy in (target, behavior)]
        densities = jnp.stack([*policies, uniform])
        weights = jnp.asarray(shares)[:, None, None]
        return jax.nn.logsumexp(densities, axis=0, b=weights)
