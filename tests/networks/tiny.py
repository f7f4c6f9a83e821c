"""Tiny networks of every kind, and their parameters and inputs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import make_muzero_networks
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import EnvironmentSpec

TINY = NetworkConfig(
    hidden_sizes=(8,),
    width=8,
    head_channels=2,
    head_sizes=(8,),
    value_support=SupportConfig(-5.0, 5.0, 11),
    reward_support=SupportConfig(-2.0, 2.0, 5),
)
ACTIONS = 3


def spec_of(observations, actions=ACTIONS):
    return EnvironmentSpec(
        observations=observations,
        actions=specs.DiscreteArray(actions),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
    )


def tiny(torso, shape, dtype=np.float32, history=None, **changes):
    config = dataclasses.replace(TINY, torso=torso, **changes)
    return compiled(
        make_muzero_networks(spec_of(specs.Array(shape, dtype)), history or HistoryConfig(), config)
    )


def compiled(networks):
    """Networks whose functions are compiled whole: layer by layer takes longer."""
    names = ("representation", "prediction", "dynamics")
    return dataclasses.replace(
        networks, **{name: jax.jit(getattr(networks, name)) for name in names}
    )


def random_params(init, *inputs, noise=0.1, seed=0):
    """Parameters that NumPy draws, none of them zero, so that every path carries signal.

    Drawing them in a compiled function takes seconds of compilation for each network.
    """
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(init, jax.random.PRNGKey(0), *inputs)

    def draw(path, leaf):
        name, drawn = path[-1].key, noise * random.normal(size=leaf.shape)
        if name == "w":
            drawn += random.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))
        elif name in ("scale", "variance"):
            drawn += 1
        return jnp.asarray(drawn.astype(leaf.dtype))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def observation_for(shape, dtype, batch=2):
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.integers(0, 255, (batch, *shape)).astype(dtype))


def parameter_shapes(params):
    return {
        f"{module}/{name}": value.shape
        for module, entries in params.items()
        for name, value in entries.items()
    }
