"""One game in which an agent can move for either side, with undo, for protocols of games."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.environments.pgx.resignation import Resignation
from mukoe.environments.pgx.rules import GameState, Rules
from mukoe.evaluation.players import Player
from mukoe.search.reuse import without_trees
from mukoe.types import Nest


class _Ply(NamedTuple):
    """Position `[1, ...]` with the memories of the agent as first and as second player.

    low_values: number of successive moves of the agent with a low value, by side; see
        `Resignation`.
    """

    position: GameState
    memories: tuple[Nest, Nest]
    low_values: tuple[int, int] = (0, 0)


class _Choice(NamedTuple):
    """Move that the agent has chosen, and the fields of the next `_Ply` if it is played."""

    action: int
    memories: tuple[Nest, Nest]
    low_values: tuple[int, int]


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
        self._chosen: _Choice | None = None
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
        self._start = memory = self._player.make(self._player.params).initial_state(1)
        self._plies = [_Ply(position, (memory, memory))]
        self._chosen = None
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
        """Applies a legal action of the player to move.

        That of `choose` is a move of the agent, which remembers its search.
        """
        ply, chosen = self._plies[-1], self._chosen
        if chosen is not None and chosen.action == action:
            self._advance(action, chosen.memories, chosen.low_values)
        else:
            self._advance(action, ply.memories, ply.low_values)

    def undo(self) -> None:
        """Takes back the last move; the next search of the agent starts afresh."""
        self._plies.pop()
        self.moves.pop()
        self._chosen = None

    def genmove(self) -> int | None:
        """Applies and returns the agent's move for the player to move; the game is not over.

        None if the agent resigns, by which the game does not change.
        """
        action = self.choose()
        if action is not None:
            self.play(action)
        return action

    def choose(self) -> int | None:
        """Returns the agent's move for the player to move without applying it; see `genmove`."""
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
        memories = _with_side(ply.memories, side, memory)
        self._chosen = _Choice(int(action[0]), memories, low_values)
        return self._chosen.action

    def _advance(
        self, action: int, memories: tuple[Nest, Nest], low_values: tuple[int, int]
    ) -> None:
        position, before = self._plies[-1].position, self._plies[-1].memories
        # Trees of all positions of a game would not fit in memory.
        forgotten = without_trees(before[0], self._start), without_trees(before[1], self._start)
        self._plies[-1] = self._plies[-1]._replace(memories=forgotten)
        keys = jax.random.split(self._key, 1)
        position = self._step(position, np.array([action], np.int32), keys)
        self._plies.append(_Ply(position, memories, low_values))
        self._chosen = None
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
