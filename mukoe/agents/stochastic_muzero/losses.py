"""The loss of Stochastic MuZero (Antonoglou et al., ICLR 2022, section 4), from stored rows.

Rows and targets are MuZero's (`mukoe.agents.planning.targets`). Between two states of the model
there is an afterstate; the code of the next observation is the input of its dynamics:

    row                t                         t+1                        t+2
    model              s_0 --a_t--> as_0 --c_{t+1}--> s_1 --a_{t+1}--> as_1 --c_{t+2}--> s_2
    policy             π_t                       π_{t+1}                    π_{t+2}
    value              z_t                       z_{t+1}                    z_{t+2}
    afterstate value                z_t                         z_{t+1}
    chance                          c_{t+1}                     c_{t+2}     codes
    reward                              reward[t]                  reward[t+1]

The code `c_{t+k+1} = e(o_≤t+k+1)` is a target of `σ_k` without gradient, and an input of the
dynamics with gradient. It is known if an action was taken, because the next observation is stored,
the final one included. In absorbing states code and action are random.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.planning.augmentation import augment
from mukoe.agents.planning.consistency import consistency_losses
from mukoe.agents.planning.losses import (
    UnrollLosses,
    check_prediction,
    cloning_metrics,
    loss_weights,
    policy_entropy,
    policy_losses,
    share_outside_bins,
    total_loss,
)
from mukoe.agents.planning.memory import encode_rows
from mukoe.agents.planning.targets import UnrollTargets, network_inputs, sample_targets
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.agents.stochastic_muzero.networks import (
    AfterstatePrediction,
    StochasticMuZeroNetworks,
    straight_through,
)
from mukoe.learning.masking import masked_mean
from mukoe.nests import merge_batch_and_time
from mukoe.types import Array, LossExtra, LossFunction, Params, Sample


class Codes(NamedTuple):
    """Codes of the outcomes of the `K` actions of an unroll.

    inputs: `[B, K, M]` codes for the dynamics, with a gradient into the encoder; random codes
        without gradient if no action was taken.
    targets: `[B, K, M]` codes for the chance distributions, without gradient.
    distances: `[B, K]` squared distances of the encodings to their codes.
    """

    inputs: Array
    targets: Array
    distances: Array


def make_loss(networks: StochasticMuZeroNetworks, config: StochasticMuZeroConfig) -> LossFunction:
    """Returns the pure loss function of a learner."""
    return functools.partial(_loss, networks, config)


def make_codes(
    networks: StochasticMuZeroNetworks,
    params: Params,
    inputs: Array,
    acted: Array,
    key: chex.PRNGKey,
) -> Codes:
    """Encodes the outcomes of the actions of an unroll.

    Args:
      networks: networks of the model.
      params: parameters of the model.
      inputs: `[B, K+1, ...]` network inputs of the rows `t .. t+K`.
      acted: `[B, K]` mask, 1 if an action was taken at the row before.
      key: random key of the codes of absorbing states.
    """
    chex.assert_rank(acted, 2)
    chex.assert_tree_shape_prefix(inputs, (acted.shape[0], acted.shape[1] + 1))
    batch, steps = acted.shape
    before, after = merge_batch_and_time((inputs[:, :-1], inputs[:, 1:]))
    encoding = networks.encoder(params, before, after).reshape((batch, steps, -1))
    codes = straight_through(encoding)
    targets = jax.lax.stop_gradient(codes)
    drawn = jax.random.randint(key, acted.shape, 0, networks.codebook_size)
    return Codes(
        inputs=jnp.where(
            acted[..., None] > 0, codes, jax.nn.one_hot(drawn, networks.codebook_size)
        ),
        targets=targets,
        distances=jnp.sum((targets - encoding) ** 2, axis=-1),
    )


def _loss(
    networks: StochasticMuZeroNetworks,
    config: StochasticMuZeroConfig,
    params: Params,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
) -> tuple[Array, LossExtra]:
    targets_key, codes_key, augmentation_key, consistency_key = jax.random.split(key, 4)
    targets = sample_targets(networks, config, target_params, sample, targets_key, networks.memory)
    steps, burn_in = config.loss.unroll_steps, config.burn_in
    inputs = network_inputs(networks, config.history, sample.rows, burn_in + steps + 1)
    acted = targets.masks.acted[:, :steps]
    inputs = augment(inputs, augmentation_key, config.augmentation, alike=True)
    inputs = encode_rows(networks.memory, params, inputs, sample.rows, config.history, burn_in)
    codes = make_codes(networks, params, inputs, acted, codes_key)
    unrolled, states = _unroll_losses(networks, config, params, inputs[:, 0], targets, codes)
    if config.consistency.weight:
        losses = consistency_losses(
            networks, params, states, inputs[:, 1:], acted, consistency_key, config.consistency
        )
        unrolled = unrolled.with_loss("consistency_loss", losses)
    weights = {
        **loss_weights(config),
        "afterstate_value_loss": config.chance.afterstate_value_weight,
        "chance_loss": config.chance.chance_weight,
        "commitment_loss": config.chance.commitment_weight,
    }
    return total_loss(config.replay, weights, sample, targets, unrolled)


def _unroll_losses(
    networks: StochasticMuZeroNetworks,
    config: StochasticMuZeroConfig,
    params: Params,
    root: Array,
    targets: UnrollTargets,
    codes: Codes,
) -> tuple[UnrollLosses, list[Array]]:
    """Unrolls the model; returns its losses and its `K` states.

    The weight of the root is 1, that of each of the K afterstates and states after it 1/K, as in
    MuZero.
    """
    policy = functools.partial(policy_losses, networks.action_space, config.loss)
    steps = config.loss.unroll_steps
    value_probs = networks.value_encoding.to_probs(targets.values)
    reward_probs = networks.reward_encoding.to_probs(targets.rewards)
    acted, known = targets.masks.acted, targets.masks.known

    state = networks.representation(params, root)
    prediction = networks.prediction(params, state)
    check_prediction(networks, prediction, root.shape[0])
    root_value = networks.value_encoding.to_scalar(prediction.value_logits)
    nothing = jnp.zeros_like(root_value)
    losses = {
        "policy_loss": acted[:, 0] * policy(prediction.policy_logits, targets, 0),
        "value_loss": known[:, 0] * cross_entropy(prediction.value_logits, value_probs[:, 0]),
        "reward_loss": nothing,
        "afterstate_value_loss": nothing,
        "chance_loss": nothing,
        "commitment_loss": jnp.sum(acted[:, :steps] * codes.distances, axis=1) / steps,
    }
    metrics = {
        "policy_entropy": jnp.mean(
            networks.action_space.policy(prediction.policy_logits).entropy()
        ),
        "root_value": jnp.mean(root_value),
        "root_policy_loss": jnp.mean(losses["policy_loss"]),
        "root_value_loss": jnp.mean(losses["value_loss"]),
        **cloning_metrics(networks.action_space, prediction.policy_logits, targets),
    }
    afterstates, states = [], []
    # A Python loop: the gradient of a convolution inside lax.scan is slow on the CPU.
    for k in range(steps):
        afterstate = networks.afterstate_dynamics(params, state, targets.actions[:, k])
        chance = networks.afterstate_prediction(params, afterstate)
        state, reward_logits = networks.dynamics(params, afterstate, codes.inputs[:, k])
        prediction = networks.prediction(params, state)
        check_prediction(networks, prediction, root.shape[0])
        chex.assert_equal_shape([reward_logits, reward_probs[:, k]])
        chex.assert_equal_shape([chance.value_logits, value_probs[:, k]])
        chex.assert_equal_shape([chance.chance_logits, codes.targets[:, k]])
        terms = {
            "policy_loss": acted[:, k + 1] * policy(prediction.policy_logits, targets, k + 1),
            "value_loss": known[:, k + 1]
            * cross_entropy(prediction.value_logits, value_probs[:, k + 1]),
            "reward_loss": known[:, k] * cross_entropy(reward_logits, reward_probs[:, k]),
            "afterstate_value_loss": known[:, k]
            * cross_entropy(chance.value_logits, value_probs[:, k]),
            "chance_loss": acted[:, k] * cross_entropy(chance.chance_logits, codes.targets[:, k]),
        }
        losses |= {name: losses[name] + term / steps for name, term in terms.items()}
        afterstates.append(chance)
        states.append(state)
    metrics |= _afterstate_metrics(networks, afterstates, targets, codes)
    return UnrollLosses(losses, root_value, metrics), states


def _afterstate_metrics(
    networks: StochasticMuZeroNetworks,
    afterstates: Sequence[AfterstatePrediction],
    targets: UnrollTargets,
    codes: Codes,
) -> dict[str, Array]:
    """Returns the metrics of the predictions at the `K` afterstates, and of the bins."""
    steps = len(afterstates)
    acted, known = targets.masks.acted[:, :steps], targets.masks.known
    chance_logits = jnp.stack([chance.chance_logits for chance in afterstates], axis=1)
    value_logits = jnp.stack([chance.value_logits for chance in afterstates], axis=1)
    errors = jnp.abs(networks.value_encoding.to_scalar(value_logits) - targets.values[:, :steps])
    return {
        **chance_metrics(chance_logits, codes.targets, acted),
        "afterstate_value_error": masked_mean(errors, known[:, :steps]),
        "values_outside_bins": share_outside_bins(networks.value_encoding, targets.values, known),
        "rewards_outside_bins": share_outside_bins(
            networks.reward_encoding, targets.rewards[:, :steps], known[:, :steps]
        ),
    }


def chance_metrics(chance_logits: Array, codes: Array, acted: Array) -> dict[str, Array]:
    """Returns metrics of the codebook's usage and of its prediction.

    Args:
      chance_logits: `[B, K, M]`.
      codes: `[B, K, M]` one-hot.
      acted: `[B, K]`, 1 where a code is known.

    Returns:
      `codebook_perplexity`, the exponential of the entropy of all codes, 1 where all are the
      same and `M` where all are used alike; `chance_perplexity`, that of the mean entropy of
      `σ`; `chance_agreement`, the share of codes that were the most likely ones;
      `code_probability`, the mean probability that the codes had.
    """
    probs = jax.nn.softmax(chance_logits)
    usage = jnp.sum(acted[..., None] * codes, axis=(0, 1)) / jnp.maximum(jnp.sum(acted), 1.0)
    likely = jnp.argmax(chance_logits, axis=-1) == jnp.argmax(codes, axis=-1)
    return {
        "codebook_perplexity": jnp.exp(-jnp.sum(jax.scipy.special.xlogy(usage, usage))),
        "chance_perplexity": jnp.exp(masked_mean(policy_entropy(chance_logits), acted)),
        "chance_agreement": masked_mean(likely, acted),
        "code_probability": masked_mean(jnp.sum(probs * codes, axis=-1), acted),
    }
