"""Networks of PPO with every torso."""

import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.ppo.config import PPONetworkConfig
from mukoe.agents.ppo.networks import make_ppo_networks
from mukoe.networks.history import HistoryConfig
from mukoe.networks.torsos import IMAGE, SEQUENCE, TORSOS
from mukoe.types import EnvironmentSpec


@pytest.mark.parametrize("torso", TORSOS.names)
def test_outputs_have_no_axes_of_an_image(torso):
    shape = {IMAGE: (40, 40, 1), SEQUENCE: (5, 3)}.get(TORSOS[torso].input_rank, (5,))
    spec = EnvironmentSpec(
        specs.Array(shape, np.float32),
        specs.DiscreteArray(3),
        specs.Array((), np.float32),
        specs.BoundedArray((), np.float32, 0, 1),
    )
    networks = make_ppo_networks(
        spec, HistoryConfig(), PPONetworkConfig(torso, hidden_sizes=(4, 4), width=4)
    )
    inputs = jax.ShapeDtypeStruct((2, *shape), np.float32)
    params = jax.eval_shape(networks.init, jax.random.PRNGKey(0))
    outputs, values = jax.eval_shape(networks.apply, params, inputs)
    assert (outputs.shape, values.shape) == ((2, 3), (2,))
