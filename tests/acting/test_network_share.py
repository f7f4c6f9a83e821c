import time

import jax
import numpy as np
from dm_env import specs

from mukoe.acting.network_share import network_seconds
from mukoe.types import MaskedObservation, PolicyParams


def test_calls_are_timed_without_their_compilation():
    shapes = []

    def sleep(x):
        time.sleep(0.02)
        return x

    def calls(params, observation):
        shapes.append(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), observation))
        time.sleep(0.3)  # While it is traced.
        out = jax.ShapeDtypeStruct((3,), np.float32)
        return jax.pure_callback(sleep, out, params.network + observation.features[:, 0])

    spec = MaskedObservation(specs.Array((2,), np.float32), specs.Array((4,), bool))
    seconds = network_seconds(calls, PolicyParams(np.float32(1), np.int32(0)), spec, 3)
    assert 0.02 <= seconds < 0.3
    assert shapes == [MaskedObservation(((3, 2), np.float32), ((3, 4), bool))]
