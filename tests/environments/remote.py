"""Servers for the tests of environments behind dm_env_rpc."""

import contextlib

import dm_env
import numpy as np
from dm_env import specs

from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig
from mukoe.environments.dm_env_rpc.server import Server
from mukoe.environments.dm_env_rpc.single import single_environments


@contextlib.contextmanager
def serving(factory, port=0, max_clients=32):
    """Serves in threads of this process; gives the port."""
    server = Server(single_environments(factory), "127.0.0.1", port, max_clients, "served")
    try:
        yield server.port
    finally:
        server.stop()


def remote(port, **fields):
    """The config of a client that gives up soon."""
    short = {"connect_seconds": 5.0, "reconnect_seconds": 10.0}
    return DmEnvRpcConfig(f"dm_env_rpc://localhost:{port}", **{**short, **fields})


class Counting(dm_env.Environment):
    """Observes how many steps it has made, in episodes of `length`; `on_step` may do harm."""

    def __init__(self, length=5, on_step=lambda steps: None, log=None, width=1):
        self.length = length
        self.on_step = on_step
        self.log = log if log is not None else []
        self.width = width
        self.steps = 0

    def observation_spec(self):
        return specs.Array((self.width,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2, np.int32)

    def observe(self):
        return np.full(self.width, self.steps, np.float32)

    def reset(self):
        self.steps = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self.steps += 1
        self.on_step(self.steps)
        if self.steps == self.length:
            return dm_env.truncation(1.0, self.observe(), discount=1.0)
        return dm_env.transition(1.0, self.observe())

    def close(self):
        self.log.append("closed")
