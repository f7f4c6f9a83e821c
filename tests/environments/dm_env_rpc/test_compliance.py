"""The server against the tests that dm_env_rpc has for servers."""

import pytest

pytest.importorskip("dm_env_rpc")

from dm_env_rpc.v1 import compliance, connection, dm_env_rpc_pb2, tensor_utils  # noqa: E402

from mukoe.environments.gymnasium.config import GymnasiumConfig  # noqa: E402
from tests.environments.remote import serving  # noqa: E402


class Connected:
    """Fixture of the tests: a connection, a world, its specs, and an action for each step."""

    has_multiple_world_support = True
    required_world_settings: dict = {}
    invalid_world_settings = {"gravity": tensor_utils.pack_tensor(1.0)}
    invalid_join_settings = invalid_world_settings
    joined = False

    def setUp(self):  # noqa: N802
        super().setUp()
        server = serving(GymnasiumConfig("Pendulum-v1").make_factory())
        port = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.connected = connection.create_secure_channel_and_connect(f"localhost:{port}")
        self.addCleanup(self.connected.close)
        self.world_name = self.send(dm_env_rpc_pb2.CreateWorldRequest()).world_name
        if self.joined:
            self.specs = self.join_world_by_name().specs

    @property
    def connection(self):
        return self.connected

    def send(self, request):
        return self.connected.send(request)

    def join_world_by_name(self):
        return self.send(dm_env_rpc_pb2.JoinWorldRequest(world_name=self.world_name))


class CreateDestroyWorldTest(Connected, compliance.CreateDestroyWorld):
    pass


class JoinLeaveWorldTest(Connected, compliance.JoinLeaveWorld):
    world_name = ""


class ResetTest(Connected, compliance.Reset):
    def join_world(self):
        return self.join_world_by_name().specs


class ResetWorldTest(Connected, compliance.ResetWorld):
    world_name = ""


class StepTest(Connected, compliance.Step):
    joined = True
    specs = None

    @property
    def required_actions(self):
        return {1: tensor_utils.pack_tensor([0.0], dtype="float32")}
