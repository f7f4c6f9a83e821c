"""Novelty as a second reward of PPO.

The novelty `b(o)` of an observation is the error of the prediction of a random network (Burda et
al. 2018, arXiv:1810.12894), or `1 / sqrt(N)` at its `N`-th visit (Tang et al. 2017,
arXiv:1611.04717).
The reward of an action is that of NovelD (Zhang et al. 2021,
https://openreview.net/forum?id=CYUzpnOkFJp),

    max(b(o_{t+1}) - α b(o_t), 0) at the first visit of o_{t+1} in the episode, else 0,

with `α` 0 and at all visits as well, divided by the running deviation of its discounted sums. Its
returns do not end with the episodes: novelty is not found twice by a restart. Its advantages are
added to those of the environment's rewards.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from mukoe.agents.ppo.config import NoveltyConfig, PPOConfig
from mukoe.agents.ppo.losses import NoveltyTargets, PPOBatch, make_prepare, rollout_inputs
from mukoe.agents.ppo.networks import PPONetworks
from mukoe.agents.ppo.visits import count_visits, first_visits, hashes_of, no_counts
from mukoe.learning.epochs import EpochsConfig, update_in_epochs
from mukoe.learning.masking import masked_mean
from mukoe.learning.returns import generalized_advantages
from mukoe.learning.update import LearnerState, TargetUpdateConfig, UpdateFunction
from mukoe.nests import merge_batch_and_time, tree_select
from mukoe.networks.novelty import Novelty, make_novelty
from mukoe.networks.observation_statistics import step_size
from mukoe.types import Array, LossExtra, LossFunction, Nest, Params, PerStep, Sample


def with_novelty(networks: PPONetworks, spec: Nest, config: PPOConfig) -> PPONetworks:
    """Returns networks whose parameters include those of novelty, if that has a weight.

    Args:
      networks: networks of the agent.
      spec: spec of one network input.
      config: configuration of the agent.
    """
    if not config.novelty.weight:
        return networks
    size = config.novelty.size if config.novelty.measure == "prediction" else None
    novelty = make_novelty(config.network, spec, size)

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        return {**networks.init(key), **novelty.init(jax.random.fold_in(key, 1))}

    return dataclasses.replace(networks, init=init, novelty=novelty)


class NoveltyState(NamedTuple):
    """Memory of the loss: statistics of the discounted sums of novelty, and counts of visits.

    variance: `[]` running variance.
    num_batches: `[]` number of batches in it.
    visits: `[N]` counts of visits; `()` where novelty is no count.
    """

    variance: Array
    num_batches: Array
    visits: Nest = ()

    @classmethod
    def zero(cls, config: NoveltyConfig) -> "NoveltyState":
        """Returns the state before the first batch."""
        visits = no_counts() if config.measure == "counts" else ()
        return cls(jnp.float32(0.0), jnp.float32(0.0), visits)

    def add(self, rewards: PerStep, discount: float) -> "NoveltyState":
        """Returns the state with the variance of a batch: a mean of all, then a moving one.

        Args:
          rewards: `[B, T]` novelty of each step.
          discount: discount per step.
        """
        variance = jnp.var(discounted_sums(rewards, discount))
        mean = self.variance + step_size(self.num_batches) * (variance - self.variance)
        is_finite = jnp.isfinite(mean)
        return self._replace(
            variance=jnp.where(is_finite, mean, self.variance),
            num_batches=self.num_batches + is_finite,
        )


def discounted_sums(rewards: PerStep, discount: float) -> jax.Array:
    """Returns `R_t = r_t + γ R_{t-1}`, `[B, T]`, of rewards `[B, T]`; `R_{-1}` is 0."""

    def step(total: Array, reward: Array) -> tuple[Array, Array]:
        total = reward + discount * total
        return total, total

    _, sums = jax.lax.scan(step, jnp.zeros_like(rewards[:, 0]), rewards.T)
    return sums.T


def novelty_rewards(novelty: Array, hashes: Array, mask: Array, config: NoveltyConfig) -> jax.Array:
    """Returns the novelty `[B, T]` of what each step leads to.

    Args:
      novelty: `[B, T + 1]` novelty of the observations.
      hashes: `[B, T + 1]` hashes of the observations.
      mask: `[B, T + 1]` mask of the rows, 0 at final observations.
      config: see `NoveltyConfig`.
    """
    rewards = jnp.maximum(novelty[:, 1:] - config.previous_weight * novelty[:, :-1], 0.0)
    if config.first_visits:
        rewards *= first_visits(hashes, mask)[:, 1:]
    return rewards


def novelty_targets(
    novelty: Novelty,
    params: Params,
    inputs: Nest,
    rewards: PerStep,
    gae_lambda: float,
    config: NoveltyConfig,
) -> NoveltyTargets:
    """Computes advantages and values of novelty, across the ends of episodes.

    Args:
      novelty: networks of novelty.
      params: parameters of the values.
      inputs: `[B, T + 1, ...]` network inputs.
      rewards: `[B, T]` scaled novelty of the observation after each step.
      gae_lambda: mixing parameter `λ`.
      config: discount, and weight of the advantages.
    """
    values = _per_step(lambda x: novelty.value(params, x), inputs)
    ones = jnp.ones_like(rewards)
    advantages = generalized_advantages(rewards, ones, ones, values, gae_lambda, config.discount)
    return NoveltyTargets(config.weight * advantages, values[:, :-1] + advantages)


def make_novelty_update(
    networks: PPONetworks, config: PPOConfig, epochs: EpochsConfig
) -> UpdateFunction:
    """Makes the update of PPO whose batches have targets of novelty."""
    novelty, prepare = networks.novelty, make_prepare(networks, config)
    history = config.history.frames - 1
    assert novelty is not None

    def measure(state: LearnerState, inputs: Nest, hashes: Array) -> tuple[NoveltyState, Array]:
        """Returns the memory with the visits, and the novelty `[B, T + 1]` of observations."""
        memory: NoveltyState = state.loss_state
        if novelty.error is not None:
            error = novelty.error
            return memory, _per_step(lambda x: error(state.params, x), inputs)
        visits, counts = count_visits(memory.visits, hashes)
        return memory._replace(visits=visits), jax.lax.rsqrt(counts)

    def update(
        loss: LossFunction,
        optimizer: optax.GradientTransformation,
        target_update: TargetUpdateConfig,
        state: LearnerState,
        sample: Sample,
    ) -> tuple[LearnerState, Mapping[str, Array], Array | None, Array]:
        inputs = rollout_inputs(networks, config, sample)
        hashes, mask = hashes_of(inputs), sample.rows.mask[:, history:]
        memory, measured = measure(state, inputs, hashes)
        rewards = novelty_rewards(measured, hashes, mask, config.novelty)
        memory = memory.add(rewards, config.novelty.discount)
        scaled = rewards * jax.lax.rsqrt(jnp.maximum(memory.variance, 1e-12))

        def with_targets(params: Params, sample: Sample) -> PPOBatch:
            targets = novelty_targets(
                novelty, params, inputs, scaled, config.loss.gae_lambda, config.novelty
            )
            return prepare(params, sample)._replace(novelty=targets)

        made, metrics, priorities, finite = update_in_epochs(
            with_targets, epochs, loss, optimizer, target_update, state, sample
        )
        made = made._replace(loss_state=tree_select(finite, memory, state.loss_state))
        metrics = {**metrics, "novelty": jnp.mean(rewards), "novelty_reward": jnp.mean(scaled)}
        return made, metrics, priorities, finite

    return update


def with_novelty_loss(
    loss: LossFunction, novelty: Novelty, config: NoveltyConfig, value_weight: float
) -> LossFunction:
    """Returns a loss that also learns the values of novelty, and the predictor if there is one.

    The predictor learns from a drawn part of the observations, so that its speed does not depend
    on the number of environments.

    Args:
      loss: loss of PPO.
      novelty: networks of novelty.
      config: settings of novelty.
      value_weight: weight of the values' squared error, of which half is taken.
    """

    def both(
        params: Params, target_params: Params, batch: PPOBatch, key: chex.PRNGKey, scale: Nest
    ) -> tuple[Array, LossExtra]:
        total, extra = loss(params, target_params, batch, key)
        batch = batch.merged()
        assert batch.novelty is not None
        values = novelty.value(params, batch.inputs)
        # Sums of novelty pass final observations, whose values are targets as well.
        value_loss = 0.5 * jnp.mean((values - batch.novelty.value) ** 2)
        metrics = {**extra.metrics, "novelty_value_loss": value_loss}
        total = total + value_weight * value_loss
        if novelty.error is not None:
            drawn = jax.random.bernoulli(key, config.learned_fraction, batch.mask.shape)
            error = masked_mean(novelty.error(params, batch.inputs), drawn.astype(jnp.float32))
            metrics["novelty_loss"] = error
            total += error
        metrics["loss"] = total
        return total, LossExtra(metrics, None, scale)

    return both


def _per_step(function: Callable[[Nest], jax.Array], inputs: Nest) -> jax.Array:
    """Returns `[B, T]` of a function of inputs `[N, ...]`, given inputs `[B, T, ...]`."""
    batch, steps = jax.tree.leaves(inputs)[0].shape[:2]
    return function(merge_batch_and_time(inputs)).reshape(batch, steps)
