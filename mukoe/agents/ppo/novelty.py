"""Novelty as a second reward of PPO (random network distillation, arXiv:1810.12894).

The reward of an action is the novelty of the observation that it leads to, divided by the running
deviation of the discounted sums of novelty. Its returns do not end with the episodes: novelty is
not found twice by a restart. Its advantages are added to those of the environment's rewards.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from mukoe.agents.ppo.config import PPOConfig, RNDConfig
from mukoe.agents.ppo.losses import NoveltyTargets, PPOBatch, make_prepare, rollout_inputs
from mukoe.agents.ppo.networks import PPONetworks
from mukoe.learning.epochs import EpochsConfig, update_in_epochs
from mukoe.learning.learner import LearnerState, TargetUpdateConfig, UpdateFunction
from mukoe.learning.masking import masked_mean
from mukoe.learning.returns import generalized_advantages
from mukoe.nests import merge_batch_and_time, take
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
    if not config.rnd.weight:
        return networks
    novelty = make_novelty(config.network, spec, config.rnd.size)

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        return {**networks.init(key), **novelty.init(jax.random.fold_in(key, 1))}

    return dataclasses.replace(networks, init=init, novelty=novelty)


class NoveltyScale(NamedTuple):
    """Memory of the loss: statistics of the discounted sums of novelty.

    variance: `[]` running variance.
    count: `[]` number of batches in it.
    """

    variance: Array
    count: Array

    @classmethod
    def zero(cls) -> "NoveltyScale":
        """Returns the statistics of no batch."""
        return cls(jnp.float32(0.0), jnp.float32(0.0))

    def add(self, rewards: PerStep, discount: float) -> "NoveltyScale":
        """Returns the statistics with those of a batch, the mean of all so far, then a moving one.

        Args:
          rewards: `[B, T]` novelty of each step.
          discount: discount per step.
        """
        variance = jnp.var(discounted_sums(rewards, discount))
        step = step_size(self.count)
        new = NoveltyScale(self.variance + step * (variance - self.variance), self.count + 1.0)
        finite = jnp.isfinite(new.variance)
        return jax.tree.map(lambda left, right: jnp.where(finite, left, right), new, self)


def discounted_sums(rewards: PerStep, discount: float) -> jax.Array:
    """Returns `R_t = r_t + γ R_{t-1}`, `[B, T]`, of rewards `[B, T]`; `R_{-1}` is 0."""

    def step(total: Array, reward: Array) -> tuple[Array, Array]:
        total = reward + discount * total
        return total, total

    _, sums = jax.lax.scan(step, jnp.zeros_like(rewards[:, 0]), rewards.T)
    return sums.T


def novelty_targets(
    novelty: Novelty,
    params: Params,
    inputs: Nest,
    rewards: PerStep,
    gae_lambda: float,
    config: RNDConfig,
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
    novelty, rnd, prepare = networks.novelty, config.rnd, make_prepare(networks, config)
    assert novelty is not None

    def update(
        loss: LossFunction,
        optimizer: optax.GradientTransformation,
        target_update: TargetUpdateConfig,
        state: LearnerState,
        sample: Sample,
    ) -> tuple[LearnerState, Mapping[str, Array], Array | None, Array]:
        inputs = rollout_inputs(networks, config, sample)
        later = take(inputs, slice(None), slice(1, None))
        rewards = _per_step(lambda x: novelty.error(state.params, x), later)
        scale = state.loss_state.add(rewards, rnd.discount)
        scaled = rewards * jax.lax.rsqrt(jnp.maximum(scale.variance, 1e-12))

        def with_targets(params: Params, sample: Sample) -> PPOBatch:
            targets = novelty_targets(novelty, params, inputs, scaled, config.loss.gae_lambda, rnd)
            return prepare(params, sample)._replace(novelty=targets)

        state = state._replace(loss_state=scale)
        made, metrics, priorities, finite = update_in_epochs(
            with_targets, epochs, loss, optimizer, target_update, state, sample
        )
        metrics = {**metrics, "novelty": jnp.mean(rewards), "novelty_reward": jnp.mean(scaled)}
        return made, metrics, priorities, finite

    return update


def with_novelty_loss(
    loss: LossFunction, novelty: Novelty, config: RNDConfig, value_weight: float
) -> LossFunction:
    """Returns a loss that also learns the values of novelty, and the predictor.

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
        value_loss = 0.5 * masked_mean((values - batch.novelty.value) ** 2, batch.mask)
        drawn = jax.random.bernoulli(key, config.learned_fraction, batch.mask.shape)
        error = masked_mean(novelty.error(params, batch.inputs), drawn.astype(jnp.float32))
        metrics = {**extra.metrics, "novelty_value_loss": value_loss, "novelty_loss": error}
        total = total + value_weight * value_loss + error
        metrics["loss"] = total
        return total, LossExtra(metrics, None, scale)

    return both


def _per_step(function: Callable[[Nest], jax.Array], inputs: Nest) -> jax.Array:
    """Returns `[B, T]` of a function of inputs `[N, ...]`, given inputs `[B, T, ...]`."""
    batch, steps = jax.tree.leaves(inputs)[0].shape[:2]
    return function(merge_batch_and_time(inputs)).reshape(batch, steps)
