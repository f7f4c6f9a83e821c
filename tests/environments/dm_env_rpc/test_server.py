"""dm_env_rpc server: settings of worlds, supported specs and single environments."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

pytest.importorskip("dm_env_rpc")

from dm_env_rpc.v1 import dm_env_rpc_pb2, error, tensor_utils  # noqa: E402

from mukoe.environments.dm_env_rpc.connection import Connection  # noqa: E402
from mukoe.environments.sync_vector import vectorize  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from tests.environments.remote import Counting, remote, serving  # noqa: E402


@pytest.mark.parametrize("seed", [-1, 2**32, "x"])
def test_invalid_settings_are_rejected(seed):
    with serving(vectorize(lambda seed, evaluation: Counting())) as port:
        connection = Connection(f"localhost:{port}", 5.0)
        settings = {"seed": tensor_utils.pack_tensor(seed)}
        connection.send(dm_env_rpc_pb2.CreateWorldRequest(settings=settings))
        with pytest.raises(error.DmEnvRpcError, match="must be an integer from 0 to 4294967295"):
            connection.receive("create_world", 5.0)
        connection.close()


def test_unsupported_specs_are_rejected_at_the_start():
    class Narrow(Counting):
        def observation_spec(self):
            return specs.Array((1,), np.float16)

    class Rewarding(Counting):
        def observation_spec(self):
            return {"reward": specs.Array((1,), np.float32)}

    for kind, line in (
        (Narrow, "does not support .*float16"),
        (Rewarding, "may not have the reserved name reward"),
    ):
        with pytest.raises(UserError, match=line), serving(vectorize(lambda s, e, k=kind: k())):
            raise AssertionError


def test_a_single_environment_restarts_after_last():
    with serving(vectorize(lambda seed, evaluation: Counting(length=2))) as port:
        environment = remote(port).make_factory()(0, 1, False).environments[0]
        types = [environment.reset().step_type]
        types += [environment.step(0).step_type for _ in range(4)]
        first, mid, last = dm_env.StepType
        assert types == [first, mid, last, first, mid]
        environment.close()
