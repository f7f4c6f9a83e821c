"""Vector of environments behind dm_env_rpc, with concurrent requests."""

import dm_env
import numpy as np

from mukoe.environments.dm_env_rpc.environment import DmEnvRpcEnvironment
from mukoe.environments.sync_vector import SyncVectorEnvironment


class DmEnvRpcVector(SyncVectorEnvironment):
    """Environments behind dm_env_rpc, all of which are asked before any is waited for.

    Where a server was lost in the middle of an episode, that stream goes on with the FIRST step
    of a new one: the lost action has no outcome, and there is no LAST step.
    """

    environments: tuple[DmEnvRpcEnvironment, ...]

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream; unfinished ones are dropped."""
        for environment in self.environments:
            environment.begin_reset()
        for environment in self.environments:
            environment.wait()
        return super().reset()

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Takes one action in every stream; see `SyncVectorEnvironment.step`.

        Raises:
            UserError: the server was looked for in vain, or is lost again and again.
        """
        actions = self._check_actions(actions)
        for environment, action in zip(self.environments, actions, strict=True):
            environment.begin_step(action)
        for index, environment in enumerate(self.environments):
            if not environment.wait():
                self._restart[index] = True
        return super().step(actions)
