"""One game in which an agent can move for either side, with undo, for protocols of games."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.environments.pgx.resignation import Resignation
from mukoe.environments.pgx.rules import GameState, Rules
from mukoe.evaluation.players import Player
from mukoe.types import Nest


class _Ply(NamedTuple):
    """Position `[1, ...]` with the memories of the agent as first and as second player.

    low_values: number of successive moves of the agent with a low value, by side; see
        `Resignation`.
    """

    position: GameState
    memories: tuple[Nest, Nest]
    low_values: tuple[int, int] = (0, 0)


class AgentGame:
    """Game of an agent without exploration; the player to move is that of the rules."""

    def __init__(
        self, rules: Rules, player: Player, seed: int, resignation: Resignation | None = None
    ):
        """Starts at the initial position.

        Args:
          rules: rules of a two-player game without chance.
          player: agent.
          seed: seed of the agent's random choices.
          resignation: rule by which the agent resigns, which needs a search; None to play on.
        """
        assert player.make is not None
        self.rules = rules
        self._player = player
        self._resignation = resignation
        self._key = jax.random.PRNGKey(seed)
        self._searches = 0
        self._init = jax.jit(rules.init)
        self._step = jax.jit(rules.step)
        self._act = jax.jit(self._jittable_act)
        self._plies: list[_Ply] = []
        self.moves: list[int] = []
        self.reset()

    def reset(self, position: GameState | None = None) -> None:
        """Starts a game.

        Args:
          position: position `[1, ...]` to start from; the initial one by default.
        """
        assert self._player.make is not None
        if position is None:
            position = self._init(jax.random.split(self._key, 1))
        memory = self._player.make(self._player.params).initial_state(1)
        self._plies = [_Ply(position, (memory, memory))]
        self.moves = []

    @property
    def position(self) -> GameState:
        """Position without batch axis."""
        return jax.tree.map(lambda leaf: leaf[0], self._plies[-1].position)

    @property
    def over(self) -> bool:
        """True if the game is over by the rules."""
        position = self._plies[-1].position
        return bool(position.terminated[0] | position.truncated[0])

    def is_legal(self, action: int) -> bool:
        """Returns whether the player to move may take an action."""
        return not self.over and bool(self._plies[-1].position.legal_action_mask[0, action])

    def play(self, action: int) -> None:
        """Applies a legal action of the player to move."""
        self._advance(action, self._plies[-1].memories, self._plies[-1].low_values)

    def undo(self) -> None:
        """Takes back the last move."""
        self._plies.pop()
        self.moves.pop()

    def genmove(self) -> int | None:
        """Applies and returns the agent's move for the player to move; the game is not over.

        None if the agent resigns, by which the game does not change.
        """
        ply = self._plies[-1]
        side = len(self.moves) % 2
        key = jax.random.fold_in(self._key, self._searches)
        self._searches += 1
        action, value, memory = self._act(
            self._player.params, key, ply.position, ply.memories[side]
        )
        low_values = ply.low_values
        if self._resignation is not None:
            count = int(self._resignation.count(float(value[0]), low_values[side]))
            if self._resignation.is_due(count):
                return None
            low_values = _with_side(low_values, side, count)
        self._advance(int(action[0]), _with_side(ply.memories, side, memory), low_values)
        return int(action[0])

    def _advance(
        self, action: int, memories: tuple[Nest, Nest], low_values: tuple[int, int]
    ) -> None:
        position = self._plies[-1].position
        keys = jax.random.split(self._key, 1)
        position = self._step(position, np.array([action], np.int32), keys)
        self._plies.append(_Ply(position, memories, low_values))
        self.moves.append(action)

    def _jittable_act(
        self, params: Any, key: chex.PRNGKey, position: GameState, memory: Nest
    ) -> tuple[jax.Array, jax.Array, Nest]:
        assert self._player.make is not None
        observation = self.rules.observe(position)
        # The memory of a new game is the initial one.
        first = jnp.zeros(1, bool)
        player = self._player.make(params)
        inputs = key, position, observation, memory, first
        if self._resignation is not None:
            assert player.act_with_value is not None
            return player.act_with_value(*inputs)
        action, memory = player.act(*inputs)
        return action, jnp.zeros(1), memory


def _with_side(pair: tuple[Any, Any], side: int, entry: Any) -> tuple[Any, Any]:
    """Returns a pair with another entry of a side."""
    return (entry, pair[1]) if side == 0 else (pair[0], entry)
