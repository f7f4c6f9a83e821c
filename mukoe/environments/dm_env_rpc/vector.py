"""Vector of environments behind dm_env_rpc, with concurrent requests."""

import dm_env
import numpy as np

from mukoe.environments.dm_env_rpc.environment import DmEnvRpcEnvironment
from mukoe.environments.sync_vector import SyncVectorEnvironment


class DmEnvRpcVector(SyncVectorEnvironment):
    """Environments behind dm_env_rpc that step concurrently: all requests precede all responses.

    If a server is lost within an episode, the stream continues with the FIRST step of a new
    episode: the outcome of the last action is unknown, and there is no LAST step.
    """

    environments: tuple[DmEnvRpcEnvironment, ...]

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream and drops unfinished ones."""
        for environment in self.environments:
            environment.begin_reset()
        for environment in self.environments:
            environment.wait()
        return super().reset()

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream; see `SyncVectorEnvironment.step`.

        Raises:
            UserError: the reconnection timed out, or `max_losses` is exceeded.
        """
        actions = self._check_actions(actions)
        for environment, action in zip(self.environments, actions, strict=True):
            environment.begin_step(action)
        for index, environment in enumerate(self.environments):
            if not environment.wait():
                self._restart[index] = True
        return super().step(actions)
