"""The loss of MuZero (arXiv:1911.08265, equation 1 and appendix G).

Rows and targets of a sample: see `mukoe.agents.planning.targets`.
"""

import functools

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.planning.augmentation import augment
from mukoe.agents.planning.consistency import consistency_losses
from mukoe.agents.planning.deterministic_model.config import DeterministicModelConfig
from mukoe.agents.planning.losses import (
    UnrollLosses,
    check_prediction,
    cloning_metrics,
    loss_weights,
    player_mean,
    policy_losses,
    share_outside_bins,
    total_loss,
)
from mukoe.agents.planning.memory import encode_rows
from mukoe.agents.planning.targets import UnrollTargets, network_inputs, sample_targets
from mukoe.nests import take
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, LossExtra, LossFunction, Nest, Params, Sample


def make_loss(networks: MuZeroNetworks, config: DeterministicModelConfig) -> LossFunction:
    """Returns the pure loss function of a learner."""
    return functools.partial(_loss, networks, config)


def _loss(
    networks: MuZeroNetworks,
    config: DeterministicModelConfig,
    params: Params,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
) -> tuple[Array, LossExtra]:
    targets_key, augmentation_key, consistency_key = jax.random.split(key, 3)
    targets = sample_targets(networks, config, target_params, sample, targets_key, networks.memory)
    steps = config.burn_in + config.observed_states
    inputs = network_inputs(networks, config.history, sample.rows, steps)
    inputs = augment(inputs, augmentation_key, config.augmentation)
    inputs = encode_rows(
        networks.memory, params, inputs, sample.rows, config.history, config.burn_in
    )
    unrolled, states = _unroll_losses(
        networks, config, params, take(inputs, slice(None), 0), targets
    )
    if config.consistency.weight:
        acted = targets.masks.acted[:, : config.loss.unroll_steps]
        later = take(inputs, slice(None), slice(1, None))
        losses = consistency_losses(
            networks, params, states, later, acted, consistency_key, config.consistency
        )
        unrolled = unrolled.with_loss("consistency_loss", losses)
    weights = loss_weights(config)
    if networks.num_players is not None:
        weights["player_loss"] = 1.0
    return total_loss(config.replay, weights, sample, targets, unrolled)


class RewardPredictions:
    """Rewards, or value prefixes, along one unroll of a model."""

    def __init__(self, networks: MuZeroNetworks, params: Params, batch_size: int):
        """Begins at the root.

        Args:
          networks: networks of the model.
          params: parameters of the model.
          batch_size: `B`.
        """
        self._networks, self._params = networks, params
        self._num_actions = 0
        if networks.value_prefix is not None:
            self._memory = self._initial_memory = networks.value_prefix.initial_memory(batch_size)

    def targets(self, rewards: Array) -> Array:
        """Returns the targets `[B, K+1]` of rewards `[B, K+1]`: themselves, or their sums."""
        prefix = self._networks.value_prefix
        if prefix is None:
            return rewards
        starts = range(0, rewards.shape[1], prefix.period)
        return jnp.concatenate(
            [jnp.cumsum(rewards[:, start : start + prefix.period], axis=1) for start in starts], 1
        )

    def step(self, state: Array, action: Array) -> tuple[Array, Array]:
        """Maps states `[B, ...]` and actions `[B]` to next states and logits `[B, bins]`."""
        prefix = self._networks.value_prefix
        state, logits = self._networks.dynamics(self._params, state, action)
        if prefix is not None:
            self._memory, logits = prefix.step(self._params, self._memory, state)
            self._num_actions += 1
            if self._num_actions % prefix.period == 0:
                self._memory = self._initial_memory
        return state, logits


def _unroll_losses(
    networks: MuZeroNetworks,
    config: DeterministicModelConfig,
    params: Params,
    root: Nest,
    targets: UnrollTargets,
) -> tuple[UnrollLosses, list[Array]]:
    """Unrolls the model; returns its losses and its `K` states.

    The weight of the root is 1, that of each of the K states after it 1/K (appendix G). With three
    and more players a further loss is that of the predicted player to move, which observations
    tell at the root.
    """
    batch_size = targets.values.shape[0]
    policy = functools.partial(policy_losses, networks.action_space, config.loss)
    value_probs = networks.value_encoding.to_probs(targets.values)
    rewards = RewardPredictions(networks, params, batch_size)
    reward_targets = rewards.targets(targets.rewards)
    reward_probs = networks.reward_encoding.to_probs(reward_targets)
    acted, known = targets.masks.acted, targets.masks.known

    state = networks.representation(params, root)
    prediction = networks.prediction(params, state)
    check_prediction(networks, prediction, batch_size)
    root_value = networks.value_encoding.to_scalar(prediction.value_logits)
    policy_loss = acted[:, 0] * policy(prediction.policy_logits, targets, 0)
    value_loss = known[:, 0] * player_mean(
        cross_entropy(prediction.value_logits, value_probs[:, 0])
    )
    reward_loss = player_loss = jnp.zeros_like(value_loss)
    steps = config.loss.unroll_steps
    metrics = {
        "policy_entropy": jnp.mean(
            networks.action_space.policy(prediction.policy_logits).entropy()
        ),
        "root_value": jnp.mean(root_value),
        "root_policy_loss": jnp.mean(policy_loss),
        "root_value_loss": jnp.mean(value_loss),
        "values_outside_bins": share_outside_bins(networks.value_encoding, targets.values, known),
        "rewards_outside_bins": share_outside_bins(
            networks.reward_encoding, reward_targets[:, :steps], known[:, :steps]
        ),
        **cloning_metrics(networks.action_space, prediction.policy_logits, targets),
    }
    # A Python loop: the gradient of a convolution inside lax.scan is slow on the CPU.
    states = []
    for k in range(1, steps + 1):
        state, reward_logits = rewards.step(state, targets.actions[:, k - 1])
        states.append(state)
        prediction = networks.prediction(params, state)
        check_prediction(networks, prediction, batch_size)
        chex.assert_equal_shape([reward_logits, reward_probs[:, k - 1]])
        value = player_mean(cross_entropy(prediction.value_logits, value_probs[:, k]))
        reward = player_mean(cross_entropy(reward_logits, reward_probs[:, k - 1]))
        policy_loss += acted[:, k] * policy(prediction.policy_logits, targets, k) / steps
        value_loss += known[:, k] * value / steps
        reward_loss += known[:, k - 1] * reward / steps
        if targets.players is not None:
            player = jax.nn.one_hot(targets.players[:, k], prediction.player_logits.shape[-1])
            player_loss += acted[:, k] * cross_entropy(prediction.player_logits, player) / steps
    losses = {"policy_loss": policy_loss, "value_loss": value_loss, "reward_loss": reward_loss}
    if targets.players is not None:
        losses["player_loss"] = player_loss
    return UnrollLosses(losses, root_value, metrics), states
