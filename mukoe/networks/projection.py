"""Projector and predictor of a self-supervised model (SimSiam; EfficientZero, arXiv:2111.00210).

Batch normalisation of the paper is layer normalisation here, so that the networks have no state
but their parameters.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import haiku as hk
import jax

from mukoe.networks.extension import ExtensibleNetworks, extended_init
from mukoe.networks.residual import layer_norm
from mukoe.types import Array, Nest, Params

PROJECTION = ("projector", "predictor")
"""Names of the modules of projector and predictor."""


class Projection(NamedTuple):
    """Projector and predictor as pure functions of the parameters of a model.

    project: `(params, state [B, ...]) -> projection [B, P]`.
    predict: `(params, projection [B, P]) -> prediction [B, P]` of the next projection.
    """

    project: Callable[[Params, Array], jax.Array]
    predict: Callable[[Params, Array], jax.Array]


class ProjectedNetworks(ExtensibleNetworks, Protocol):
    """Networks to which a projection is added.

    projection: projector and predictor; None without.
    """

    @property
    def projection(self) -> Projection | None: ...


Networks = TypeVar("Networks", bound=ProjectedNetworks)


def with_projection(networks: Networks, spec: Nest, size: int, hidden_size: int) -> Networks:
    """Returns networks whose parameters include a projector and a predictor.

    Args:
      networks: dataclass of networks.
      spec: spec of one network input.
      size: length `P` of a projection.
      hidden_size: width of the predictor's hidden layer.
    """
    model = hk.without_apply_rng(hk.multi_transform(lambda: _model(size, hidden_size)))
    projection = Projection(*model.apply)
    init = extended_init(networks, spec, model.init, index=1)
    changes: dict = {"init": init, "projection": projection}
    return dataclasses.replace(networks, **changes)  # type: ignore[type-var]


def _model(size: int, hidden_size: int):
    """Returns the arguments of `hk.multi_transform`: function for init, and the two functions."""
    projector = _Projector(size, name=PROJECTION[0])
    predictor = _Predictor(size, hidden_size, name=PROJECTION[1])

    def init(state: jax.Array) -> None:
        predictor(projector(state))

    return init, (projector, predictor)


class _Projector(hk.Module):
    """Three layers of one width, each normalised, the last one without ReLU."""

    def __init__(self, size: int, name: str):
        super().__init__(name=name)
        self._size = size

    def __call__(self, state: jax.Array) -> jax.Array:
        x = hk.Flatten()(state)
        for _ in range(2):
            x = jax.nn.relu(layer_norm(hk.Linear(self._size)(x)))
        return layer_norm(hk.Linear(self._size)(x))


class _Predictor(hk.Module):
    """One narrow hidden layer."""

    def __init__(self, size: int, hidden_size: int, name: str):
        super().__init__(name=name)
        self._size = size
        self._hidden_size = hidden_size

    def __call__(self, projection: jax.Array) -> jax.Array:
        x = jax.nn.relu(layer_norm(hk.Linear(self._hidden_size)(projection)))
        return hk.Linear(self._size)(x)
