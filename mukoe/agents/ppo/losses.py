"""Advantages of a rollout, and the loss of a minibatch.

Sources: Schulman et al. 2017 (arXiv:1707.06347); The 37 Implementation Details of PPO (Huang
et al. 2022), called [2] here.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig
from mukoe.agents.ppo.networks import PPONetworks
from mukoe.learning.masking import masked_mean
from mukoe.learning.returns import generalized_advantages
from mukoe.nests import merge_batch_and_time, take
from mukoe.networks.history import row_inputs
from mukoe.networks.memory import episode_starts
from mukoe.types import (
    Array,
    LossExtra,
    LossFunction,
    Nest,
    Params,
    PerAction,
    PerStep,
    Row,
    Sample,
    split_legal_actions,
)


class NoveltyTargets(NamedTuple):
    """Targets of novelty, see `mukoe.agents.ppo.novelty`.

    advantage: `[B, T]` weighted advantages, added to those of the environment's rewards.
    value: `[B, T]` targets of the values of novelty.
    """

    advantage: PerStep
    value: PerStep


class PPOBatch(NamedTuple):
    """Steps of rollouts with advantages, from which minibatches are drawn.

    inputs: `[B, T, ...]` network inputs.
    legal_actions: `[B, T, A]` bool legal-action mask, or None if all actions are legal.
    action: `[B, T]` actions, or continuous `[B, T, D]`.
    log_prob: `[B, T]` `log π_old(a | s)` of the behaviour policy.
    value: `[B, T]` `v_old(s)` of the behaviour policy's network.
    advantage: `[B, T]` advantages.
    mask: `[B, T]` mask, 1 if an action was taken; 0 for final observations.
    novelty: targets of novelty; None without.
    memory: `[B, ...]` state of the memory before the first step; `()` without one.
    """

    inputs: Nest
    legal_actions: PerAction | None
    action: Array
    log_prob: PerStep
    value: PerStep
    advantage: PerStep
    mask: PerStep
    novelty: NoveltyTargets | None = None
    memory: Nest = ()

    def merged(self) -> "PPOBatch":
        """Returns the steps `[B T, ...]`, without the state of the memory."""
        return merge_batch_and_time(self._replace(memory=()))


def rollout_inputs(networks: PPONetworks, config: PPOConfig, sample: Sample) -> Nest:
    """Returns the network inputs `[B, T + 1, ...]` of rollouts."""
    return row_inputs(sample.rows, config.history, networks.action_space.size)


def encoded_inputs(networks: PPONetworks, params: Params, batch: PPOBatch) -> Nest:
    """Returns what `networks.apply` takes, `[B, T, ...]`: the inputs, or the memory's output."""
    if networks.memory is None:
        return batch.inputs
    starts = episode_starts(batch.mask)
    encoded, _ = networks.memory.encode(params, batch.inputs, starts, batch.memory)
    return encoded


def make_prepare(networks: PPONetworks, config: PPOConfig) -> Callable[[Params, Sample], PPOBatch]:
    """Makes `prepare(params, sample) -> PPOBatch`, called once for each batch of rollouts.

    The rows of a sample are `[B, H + T + 1, ...]`: `H` of history, `T` steps, and the row after
    the last step, whose value is computed with the given parameters; all others are stored.
    """
    history = config.history.frames - 1

    def last_inputs(params: Params, sample: Sample, inputs: Nest) -> Nest:
        if networks.memory is not None:
            starts = episode_starts(sample.rows.mask[:, history:])
            inputs, _ = networks.memory.encode(params, inputs, starts, sample.memory)
        return take(inputs, slice(None), -1)

    def prepare(params: Params, sample: Sample) -> PPOBatch:
        rows = sample.rows
        _, legal = split_legal_actions(rows.observation)
        inputs = rollout_inputs(networks, config, sample)
        steps: Row = jax.tree.map(lambda array: array[:, history:-1], rows)
        _, last_value = networks.apply(params, last_inputs(params, sample, inputs))
        chex.assert_shape(last_value, steps.reward.shape[:1])
        chex.assert_equal_shape([steps.reward, steps.extras["value"], steps.extras["log_prob"]])
        values = jnp.concatenate([steps.extras["value"], last_value[:, None]], axis=1)
        advantages = generalized_advantages(
            config.loss.reward_scale * steps.reward,
            steps.discount,
            steps.mask,
            values,
            config.loss.gae_lambda,
            config.discount,
        )
        return PPOBatch(
            inputs=take(inputs, slice(None), slice(-1)),
            legal_actions=None if legal is None else legal[:, history:-1],
            action=steps.action,
            log_prob=steps.extras["log_prob"],
            value=steps.extras["value"],
            advantage=advantages,
            mask=steps.mask,
            memory=sample.memory,
        )

    return prepare


def make_loss(networks: PPONetworks, config: PPOLossConfig) -> LossFunction:
    """Makes the loss of a minibatch, a `PPOBatch`.

    Equation 9 of the paper as a loss: `L^CLIP + c_1 L^VF - c_2 S`, every part a mean over the
    steps with mask 1.
    """

    def loss(
        params: Params, target_params: Params, batch: PPOBatch, key: chex.PRNGKey
    ) -> tuple[Array, LossExtra]:
        del target_params, key
        batch = batch._replace(inputs=encoded_inputs(networks, params, batch)).merged()
        outputs, value = networks.apply(params, batch.inputs)
        chex.assert_equal_shape([value, batch.value, batch.advantage, batch.log_prob, batch.mask])
        policy = networks.policy(outputs, batch.legal_actions)
        log_ratio = policy.log_prob(batch.action) - batch.log_prob
        advantage = batch.advantage
        if batch.novelty is not None:
            advantage += batch.novelty.advantage
        if config.normalize_advantages:
            advantage = normalize(advantage, batch.mask)
        parts = {
            "policy_loss": masked_mean(
                clipped_surrogate(log_ratio, advantage, config.clip_epsilon), batch.mask
            ),
            "value_loss": masked_mean(_value_loss(value, batch, config), batch.mask),
            "entropy": masked_mean(policy.entropy(), batch.mask),
        }
        total = (
            parts["policy_loss"]
            + config.value_weight * parts["value_loss"]
            - config.entropy_weight * parts["entropy"]
        )
        ratio = jnp.exp(log_ratio)
        metrics = {
            "loss": total,
            **parts,
            # An estimate of KL(π_old, π) without bias and of a low variance ([2] core 12).
            "approximate_kl": masked_mean(ratio - 1.0 - log_ratio, batch.mask),
            "clipped": masked_mean(jnp.abs(ratio - 1.0) > config.clip_epsilon, batch.mask),
            "value": masked_mean(value, batch.mask),
        }
        return total, LossExtra(metrics, None)

    return loss


def clipped_surrogate(log_ratio: Array, advantage: Array, clip_epsilon: float) -> jax.Array:
    """Returns `-min(r A, clip(r, 1 - ε, 1 + ε) A)`, `[N]`; equation 7 as a loss."""
    # Imported on use, as in `generalized_advantages`.
    import rlax

    def of_step(ratio: Array, advantage: Array) -> Array:
        # rlax returns the mean: of one step, so that steps can be masked.
        return rlax.clipped_surrogate_pg_loss(ratio[None], advantage[None], clip_epsilon)

    return jax.vmap(of_step)(jnp.exp(log_ratio), advantage)


def normalize(advantage: Array, mask: Array) -> jax.Array:
    """Returns advantages with mean 0 and standard deviation 1 over those with mask 1."""
    centred = advantage - masked_mean(advantage, mask)
    return mask * centred / (jnp.sqrt(masked_mean(centred**2, mask)) + 1e-8)


def _value_loss(value: Array, batch: PPOBatch, config: PPOLossConfig) -> jax.Array:
    """Returns half the squared error; with clipping the larger one of two ([2] core 9)."""
    target = batch.value + batch.advantage
    error = (value - target) ** 2
    if config.clip_values:
        clipped = batch.value + jnp.clip(
            value - batch.value, -config.clip_epsilon, config.clip_epsilon
        )
        error = jnp.maximum(error, (clipped - target) ** 2)
    return 0.5 * error
