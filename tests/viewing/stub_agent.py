"""Agent without networks, for tests of what is shown."""

import numpy as np

from mukoe.types import split_legal_actions
from mukoe.viewing.inspected_agent import Decision


class StubAgent:
    """Plays given actions, then the first legal ones of a seeded random order.

    Has the methods of `InspectedAgent` that the viewers call.
    """

    def __init__(self, num_actions, actions=()):
        self._num_actions = num_actions
        self._actions = list(actions)
        self.start()

    def start(self, seed=None):
        self._random = np.random.default_rng(seed)
        self._next = iter(self._actions)

    def fresh_copy(self):
        return StubAgent(self._num_actions, self._actions)

    def decide(self, observation):
        _, legal = split_legal_actions(observation)
        legal = np.ones(self._num_actions, bool) if legal is None else legal[0]
        policy = np.where(legal, 1 / legal.sum(), 0).astype(np.float32)
        action = next(self._next, None)
        if action is None:
            action = int(self._random.choice(np.flatnonzero(legal)))
        return Decision(action, -1e-9, policy, None)

    def update_state(self, observation, action):
        del observation, action
