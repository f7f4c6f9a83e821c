"""Novelty of observations by random network distillation (Burda et al. 2018, arXiv:1810.12894).

A predictor learns the output of a fixed random network with the same torso. Its error

    b(o) = mean_d (f̂_d(o) - f_d(o))²

is large where few observations have been learned. The random network is drawn with a fixed key, so
that it is no parameter: it is the same in every process, run and checkpoint.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.nests import zeros
from mukoe.networks.inputs import encode_input
from mukoe.networks.observation_statistics import NormalizedInput
from mukoe.networks.parts import PartedTorsoConfig, PartsTorso
from mukoe.networks.precision import in_precision, to_precision
from mukoe.networks.torsos import TORSOS, orthogonal_linear
from mukoe.types import Nest, Params

_TARGET_KEY = 0
_LARGEST_INPUT = 5.0


class NoveltyTorsoConfig(PartedTorsoConfig, Protocol):
    """Fields of an agent's network configuration that the networks of novelty read.

    normalize_observations: normalisation of vectors by running statistics.
    """

    @property
    def normalize_observations(self) -> bool: ...


class Novelty(NamedTuple):
    """Novelty and its value, as pure functions of the parameters of an agent.

    init: `key -> params`, beside those of the agent.
    error: `(params, network input [N, ...]) -> b(o) [N]`, whose gradient teaches the predictor;
      None without a predictor.
    value: `(params, network input [N, ...]) -> value [N]` of the novelty that will be met.
    """

    init: Callable[[chex.PRNGKey], Params]
    error: Callable[[Params, Nest], jax.Array] | None
    value: Callable[[Params, Nest], jax.Array]


def make_novelty(config: NoveltyTorsoConfig, spec: Nest, size: int | None) -> Novelty:
    """Makes the networks of novelty, with the torsos of the agent.

    Args:
      config: network configuration of the agent.
      spec: spec of one network input.
      size: number of outputs `d` of predictor and random network; None for the values alone.
    """

    def normalize(inputs: Nest) -> Nest:
        if not config.normalize_observations:
            return inputs
        x = NormalizedInput()(encode_input(inputs, spec))
        return jnp.clip(x, -_LARGEST_INPUT, _LARGEST_INPUT)

    def features(inputs: Nest) -> jax.Array:
        if not isinstance(spec, specs.Array):
            return jax.nn.relu(PartsTorso(config, spec)(inputs))
        x = inputs if config.normalize_observations else encode_input(inputs, spec)
        return hk.Flatten()(
            jax.nn.relu(TORSOS[config.torso](config)(to_precision(x, config.precision)))
        )

    def value_of(inputs: Nest) -> jax.Array:
        with hk.name_scope("novelty_value"):
            x = features(normalize(inputs))
            return orthogonal_linear(1, 0.1, "head")(x)[:, 0]

    value: Any = hk.without_apply_rng(hk.transform(value_of))
    value_in_precision = in_precision(value.apply, config.precision, observes=True)
    if size is None:
        return Novelty(lambda key: value.init(key, zeros(spec, 1)), None, value_in_precision)

    def predict(inputs: Nest) -> tuple[jax.Array, Nest]:
        with hk.name_scope("novelty_predictor"):
            inputs = normalize(inputs)
            x = jax.nn.relu(hk.Linear(size)(features(inputs)))
            return hk.Linear(size)(jax.nn.relu(hk.Linear(size)(x))), inputs

    def random_features(inputs: Nest) -> jax.Array:
        return hk.Linear(size)(features(inputs))

    predictor: Any = hk.without_apply_rng(hk.transform(predict))
    target: Any = hk.without_apply_rng(hk.transform(random_features))

    def init(key: chex.PRNGKey) -> Params:
        first, second = jax.random.split(key)
        blank = zeros(spec, 1)
        return {**predictor.init(first, blank), **value.init(second, blank)}

    predict_in_precision = in_precision(predictor.apply, config.precision, observes=True)
    embed_in_precision = in_precision(target.apply, config.precision, observes=True)

    # Not within a function that is traced, whose result could not be kept.
    fixed = jax.jit(target.init)(jax.random.PRNGKey(_TARGET_KEY), zeros(spec, 1))

    def error(params: Params, inputs: Nest) -> jax.Array:
        predicted, normalized = predict_in_precision(params, inputs)
        expected = jax.lax.stop_gradient(embed_in_precision(fixed, normalized))
        return jnp.mean((predicted - expected) ** 2, axis=-1)

    return Novelty(init, error, value_in_precision)
