"""Vector environments of pgx games, which step all streams in one jitted call."""

from collections.abc import Mapping, Sequence
from typing import Any

import dm_env
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.environments.pgx.action_names import action_names
from mukoe.environments.pgx.board_drawing import draw
from mukoe.environments.pgx.boards import BoardView, find_checkers, write_position, write_result
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.environments.pgx.streams import (
    GameFunctions,
    GameStep,
    Streams,
    seat_to_move,
    stream_keys,
)
from mukoe.environments.vector import environment_seed
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, EpisodeResult, MaskedObservation


class GameEnvironment:
    """Vector of games, a `VectorEnvironment` around pure functions on the device.

    Observations are `MaskedObservation`s `[B, ...]` where actions may be illegal, else features
    `[B, H, W, C]` bool, in chess and shogi float32 (Backgammon: `[B, 34]` int32).

    functions: environment as pure functions.
    """

    def __init__(self, functions: GameFunctions, seed: int, evaluation: bool):
        """Initialises the vector.

        Args:
            functions: environment as pure functions.
            seed: seed of all random choices, together with `evaluation`.
            evaluation: True for other games than those of the same seed in training.
        """
        self.functions = functions
        self._key = jax.random.PRNGKey(environment_seed(seed, 0, evaluation))
        self._calls = 0
        self._streams: Streams | None = None
        self._legal: np.ndarray | None = None
        self._ended = np.ones(functions.num_envs, bool)
        self._finished: list[EpisodeResult] = []

    @property
    def num_envs(self) -> int:
        """Number of environments `B`."""
        return self.functions.num_envs

    @property
    def spec(self) -> EnvironmentSpec:
        """Specs of one environment."""
        return self.functions.rules.spec

    @property
    def action_repeat(self) -> int:
        """1: an agent step is one step of the game."""
        return 1

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream and drops unfinished ones.

        The seat of a dropped match is reused, so that the seats of finished matches alternate.
        """
        players = max(self.functions.rules.players, 2)
        seats = np.arange(self.num_envs, dtype=np.int32) % players
        if self._streams is not None:
            seats = (np.asarray(self._streams.seat) + self._ended) % players
        key = jax.random.fold_in(self._key, self._count())
        self._streams, step = self.functions.jitted_init(key, seats)
        return self._to_host(step)

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream, `[B]` integers; the first call is a reset.

        Raises:
            UserError: an action is out of range or illegal.
        """
        actions = self._check_actions(np.asarray(actions))
        if self._streams is None:
            return self.reset()
        self._streams, step = self.functions.jitted_step(
            self._streams, actions, self._key, self._count()
        )
        timestep = self._to_host(step)
        if self._ended.any():
            self._finish()
        return timestep

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns the episodes that ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def get_state(self) -> dict[str, np.ndarray]:
        """Returns a copy of the state, as `CopiesState` does."""
        leaves = jax.device_get(jax.tree.leaves(self._streams))
        state = {f"streams/{index}": np.asarray(leaf) for index, leaf in enumerate(leaves)}
        state |= {"calls": np.array(self._calls, np.int64), "ended": self._ended}
        return state if self._legal is None else {**state, "legal": self._legal}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a copied state."""
        seats = np.zeros(self.num_envs, np.int32)
        like, _ = jax.eval_shape(self.functions.init, self._key, seats)
        structure = jax.tree.structure(like)
        leaves = [jnp.asarray(state[f"streams/{index}"]) for index in range(structure.num_leaves)]
        self._streams = structure.unflatten(leaves)
        self._calls, self._ended = int(state["calls"]), state["ended"]
        self._legal = state.get("legal")

    def render(self, index: int = 0) -> np.ndarray:
        """Returns a picture `[H, W, 3]` uint8 of one environment."""
        return draw(self.view(index))

    def render_text(self, index: int = 0) -> str:
        """Returns the position of one environment as text."""
        return write_position(self.view(index))

    def result_text(self, index: int = 0) -> str:
        """Returns the result of a finished game as text; empty for a single player."""
        return write_result(self.view(index))

    def action_names(self) -> list[str]:
        """Returns the names of the actions."""
        return list(action_names(self.functions.rules.name, self.spec))

    def waits(self, index: int = 0) -> bool:
        """Returns whether the player to move waits for the other one to finish a turn."""
        view = self.view(index)
        if view.game != "backgammon":
            return False
        return not view.ended and find_checkers(view.features, view.seat_to_move).waits

    def count_playable(self, moves: Sequence[int]) -> int:
        """Returns the number of leading moves that are legal before the end of the first game.

        The model of a search continues lines beyond the end of the game. All moves count where
        the next position depends on chance. The moves are not applied.

        Args:
            moves: moves of both players, from the current position.
        """
        rules = self.functions.rules
        if PGX_GAMES[rules.name].chance:
            return len(moves)
        assert self._streams is not None, "moves are counted after reset()"
        game = self._streams.game
        for count, move in enumerate(moves):
            if game.terminated[0] or game.truncated[0] or not game.legal_action_mask[0, move]:
                return count
            same = np.full(self.num_envs, move, np.int32)
            game = self.functions.jitted_move(game, same, stream_keys(self._key, self.num_envs))
        return len(moves)

    def close(self) -> None:
        """Releases the games."""
        self._streams = None

    def _count(self) -> np.uint32:
        self._calls += 1
        return np.uint32(self._calls)

    def _to_host(self, step: GameStep) -> dm_env.TimeStep:
        step = jax.device_get(step)
        self._ended = step.step_type == dm_env.StepType.LAST
        if isinstance(step.observation, MaskedObservation):
            self._legal = step.observation.legal_actions
        return dm_env.TimeStep(*step)

    def _finish(self) -> None:
        assert self._streams is not None
        returns, lengths, seats = jax.device_get(
            (self._streams.episode_return, self._streams.length, self._streams.seat)
        )
        milestones = jax.device_get(self.functions.rules.milestone(self._streams.game))
        for index in np.flatnonzero(self._ended):
            length = int(lengths[index])
            self._finished.append(
                EpisodeResult(
                    float(returns[index]),
                    length,
                    length,
                    int(index),
                    seat=int(seats[index]),
                    milestone=int(milestones[index]),
                )
            )

    def _check_actions(self, actions: np.ndarray) -> np.ndarray:
        name, count = self.functions.rules.name, self.spec.actions.num_values
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise UserError(
                f"{name}: actions must be {self.num_envs} integers; "
                f"got shape {actions.shape}, dtype {actions.dtype}"
            )
        known = (actions >= 0) & (actions < count)
        safe = np.where(known, actions, 0).astype(np.int32)
        legal = known if self._legal is None else known & self._legal[np.arange(len(safe)), safe]
        for index in np.flatnonzero(~legal & ~self._ended):
            options = (
                np.arange(count) if self._legal is None else np.flatnonzero(self._legal[index])
            )
            raise UserError(
                f"{name}, environment {index} of the vector: action {actions[index]} is illegal; "
                f"legal here: {', '.join(map(str, options))}"
            )
        return safe

    def view(self, index: int = 0) -> BoardView:
        """Returns the position of one environment.

        Raises:
            UserError: there is no position before the first reset.
        """
        if self._streams is None:
            raise UserError(f"{self.functions.rules.name}: nothing to draw before reset()")
        streams: Any = jax.tree.map(lambda leaf: leaf[index : index + 1], self._streams)
        game = streams.game
        first, players = int(streams.first_player[0]), self.functions.rules.players
        return BoardView(
            game=self.functions.rules.name,
            features=np.asarray(game.observation[0]),
            seat_to_move=int(seat_to_move(streams)[0]),
            score=float(game.rewards[0, first])
            if players == 2
            else float(streams.episode_return[0]),
            ended=bool(streams.ended[0]),
            winner=int(np.argmax(game.rewards[0])) if players >= 3 else None,
        )


class SelfPlayEnvironment(GameEnvironment):
    """Self-play, see `mukoe.environments.pgx.self_play`.

    The return of an episode is the score of the player who moved first.
    """

    def draw_opening(self, moves: int) -> list[int]:
        """Returns random legal moves from the current position of the first game.

        A move that would end the game is not drawn, so that there are fewer moves where all moves
        would. The moves are not applied; they depend on the seed and the number of calls.

        Args:
            moves: number of moves, of both players together.
        """
        random = np.random.default_rng([*np.asarray(self._key), self._calls])
        streams = self._streams
        actions: list[int] = []
        for count in range(self._calls + 1, self._calls + 1 + moves):
            assert streams is not None, "an opening is drawn after reset()"
            legal = np.flatnonzero(np.asarray(streams.game.legal_action_mask)[0])
            for action in random.permutation(legal):
                drawn = np.full(self.num_envs, action, np.int32)
                after, _ = self.functions.jitted_step(streams, drawn, self._key, np.uint32(count))
                if not after.ended[0]:
                    break
            else:
                return actions
            streams = after
            actions.append(int(action))
        return actions


class MatchEnvironment(GameEnvironment):
    """Matches against an opponent, see `mukoe.environments.pgx.match`.

    The return of an episode is 1 for a win of the agent, 0 for a draw, -1 for a loss. `seat` is
    the agent's seat.
    """

    def result_text(self, index: int = 0) -> str:
        """Returns the result of a finished game as text, such as 'X won (the agent)'."""
        assert self._streams is not None
        players = ("the agent", "the opponent")
        agent_moves_first = int(self._streams.seat[index]) == 0
        return write_result(self.view(index), players if agent_moves_first else players[::-1])
