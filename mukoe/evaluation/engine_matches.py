"""Games with engines, move by move on the host, with the seats of `mukoe.evaluation.matches`."""

import contextlib
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.environments.pgx.rules import GameState, load_rules
from mukoe.errors import UserError
from mukoe.evaluation.players import Player
from mukoe.nests import tree_where
from mukoe.types import Array, EpisodeResult, Nest


class RecordedGames(NamedTuple):
    """Games of a match, `[2, num_games]`: those that the player began, and the others.

    scores: the player's scores (1, 0, -1).
    checksums: uint32 checksums of the moves.
    moves: moves of each game from the initial position, those of the opening included.
    openings: numbers of opening moves.
    """

    scores: np.ndarray
    checksums: np.ndarray
    moves: Sequence[Sequence[Sequence[int]]]
    openings: np.ndarray

    def result(self, seat: int, index: int) -> EpisodeResult:
        """Returns the result of a game for the player, whose seat is the first index."""
        plies = len(self.moves[seat][index]) - int(self.openings[seat, index])
        length = (plies + 1 - seat) // 2
        score = float(self.scores[seat, index])
        return EpisodeResult(score, length, length, 2 * index + seat, seat=seat)


class EngineMatches:
    """Plays games between any two players, of which any may be engines."""

    def __init__(self, game: str, num_games: int, opening_moves: int):
        """Makes a match.

        Args:
          game: name of a two-player game without chance.
          num_games: number of games in each seat.
          opening_moves: number of random moves of each side.
        """
        self._rules = _cached_rules(game)
        self._num_games = num_games
        self._opening_moves = opening_moves
        self._compiled: dict[Callable, Callable] = {}

    def play(
        self,
        player: Player,
        opponent: Player,
        key: chex.PRNGKey,
        on_result: Callable[[EpisodeResult], None] = lambda _: None,
    ) -> RecordedGames:
        """Plays the games.

        Args:
          player: first participant.
          opponent: second participant.
          key: PRNG key.
          on_result: callback for each finished game, with the player's result.

        Raises:
          UserError: an engine fails or plays an illegal move.
        """
        with contextlib.ExitStack() as engines:
            for side in {id(side.engine): side for side in (player, opponent)}.values():
                if side.engine is not None:
                    engines.enter_context(side.engine)
            return self._play((player, opponent), key, on_result)

    def _play(
        self,
        players: Sequence[Player],
        key: chex.PRNGKey,
        on_result: Callable[[EpisodeResult], None],
    ) -> RecordedGames:
        """Plays the games; arrays and lists of games have the axis `[2 * num_games]`."""
        opening_key, key = jax.random.split(key)
        position, moves = self._open(opening_key)
        # Index of the player in pgx: that of the first mover, or the other one.
        number = np.asarray(position.current_player) ^ np.repeat([0, 1], self._num_games)
        games = _Games(self._num_games, moves)
        sides = [self._side(player) for player in players]
        ply = 0
        while not games.over.all():
            keys = jax.random.split(jax.random.fold_in(key, ply), 3)
            actions = np.zeros(len(moves), np.int32)
            running = ~games.over
            for index, choose in enumerate(sides):
                half = (ply + index) % 2
                chosen = choose(keys[index], position, games, half, ply < 2)
                for game, action in chosen.items():
                    actions[game] = games.move(game, action, index)
            position = _step(self._rules.name, position, actions, keys[2])
            rewards = np.take_along_axis(np.asarray(position.rewards), number[:, None], 1)[:, 0]
            games.add(rewards, np.asarray(position.terminated | position.truncated))
            for game in np.flatnonzero(running & games.over):
                on_result(games.recorded().result(*divmod(int(game), self._num_games)))
            ply += 1
        return games.recorded()

    def _open(self, key: chex.PRNGKey) -> tuple[GameState, list[list[int]]]:
        """Returns positions `[2 * num_games]` after random openings, and their moves.

        An opening that would end the game is taken back.
        """
        count = 2 * self._num_games
        init_key, key = jax.random.split(key)
        start = position = _init(self._rules.name, init_key, count)
        ended, moves = np.zeros(count, bool), []
        for ply in range(2 * self._opening_moves):
            position, action = _step_at_random(
                self._rules.name, position, jax.random.fold_in(key, ply)
            )
            ended |= np.asarray(position.terminated | position.truncated)
            moves.append(np.asarray(action))
        if ended.any():
            position = tree_where(ended, start, position)
        return position, [
            [] if ended[game] else [int(action[game]) for action in moves] for game in range(count)
        ]

    def _side(self, player: Player) -> "_Side":
        """Returns the function that chooses the actions of a player in running games."""
        if player.engine is not None:
            return functools.partial(_ask_engine, player)
        assert player.make is not None
        memory = player.make(player.params).initial_state(self._num_games)
        return _JittedSide(self._act_of(player), player.params, self._num_games, memory)

    def _act_of(self, player: Player) -> Callable:
        """Returns the jitted `act` of a player, compiled once for each `Player.make`."""
        make = player.make
        assert make is not None
        if make not in self._compiled:

            def act(params: Any, key: chex.PRNGKey, game: GameState, memory: Nest, first: Array):
                observation = self._rules.observe(game)
                return make(params).act(key, game, observation, memory, first)

            self._compiled[make] = jax.jit(act)
        return self._compiled[make]


_cached_rules = functools.cache(functools.partial(load_rules, max_steps=None))
"""Rules of a game; shared, so that all matches in it share their compilations."""


@functools.partial(jax.jit, static_argnums=(0, 2))
def _init(game: str, key: chex.PRNGKey, count: int) -> GameState:
    """Returns `count` initial positions."""
    return _cached_rules(game).init(jax.random.split(key, count))


@functools.partial(jax.jit, static_argnums=0)
def _step(game: str, position: GameState, actions: Array, key: chex.PRNGKey) -> GameState:
    """Applies one action per position."""
    return _cached_rules(game).step(position, actions, jax.random.split(key, actions.shape[0]))


@functools.partial(jax.jit, static_argnums=0)
def _step_at_random(
    game: str, position: GameState, key: chex.PRNGKey
) -> tuple[GameState, jax.Array]:
    """Applies a random legal action per position, and returns the actions."""
    logits = jnp.where(position.legal_action_mask, 0.0, -jnp.inf)
    action = jax.random.categorical(key, logits)
    keys = jax.random.split(key, action.shape[0])
    return _cached_rules(game).step(position, action, keys), action


class _Games:
    """Games in progress, the player's first games before the others.

    scores: `[2 * num_games]` scores of the player.
    over: `[2 * num_games]` bool, True in finished games.
    moves: moves of each game.
    """

    def __init__(self, num_games: int, moves: list[list[int]]):
        self._num_games = num_games
        self._openings = np.array([len(game) for game in moves])
        self.scores = np.zeros(2 * num_games, np.float32)
        self.over = np.zeros(2 * num_games, bool)
        self.moves = moves

    def running(self, half: int) -> list[int]:
        """Returns the numbers of the running games of a half."""
        games = range(half * self._num_games, (half + 1) * self._num_games)
        return [game for game in games if not self.over[game]]

    def move(self, game: int, action: int | None, side: int) -> int:
        """Records a move, or that the side (0: the player) resigns; returns an action to apply."""
        if action is not None:
            self.moves[game].append(action)
            return action
        self.scores[game], self.over[game] = (-1, 1)[side], True
        return 0

    def add(self, rewards: np.ndarray, ended: np.ndarray) -> None:
        """Adds the rewards of a step where a game runs, and ends games."""
        self.scores += np.where(self.over, 0, rewards)
        self.over |= ended

    def recorded(self) -> RecordedGames:
        """Returns the games so far."""
        checksums = [zlib.crc32(np.array(game, np.int32).tobytes()) for game in self.moves]
        return RecordedGames(
            self.scores.reshape(2, -1),
            np.array(checksums, np.uint32).reshape(2, -1),
            (self.moves[: self._num_games], self.moves[self._num_games :]),
            self._openings.reshape(2, -1),
        )


_Side = Callable[[chex.PRNGKey, GameState, _Games, int, bool], Mapping[int, int | None]]
"""Function `(key, positions, games, half, is_first) -> actions by the number of the game`."""


def _ask_engine(
    player: Player,
    key: chex.PRNGKey,
    position: GameState,
    games: _Games,
    half: int,
    is_first: bool,
) -> Mapping[int, int | None]:
    """Returns the actions of an engine, checked against the rules."""
    del key, is_first
    assert player.engine is not None
    legal = np.asarray(position.legal_action_mask)
    chosen = {game: player.engine.choose(games.moves[game]) for game in games.running(half)}
    for game, action in chosen.items():
        if action is not None and not legal[game, action]:
            raise UserError(
                f"{player.name} plays the action {action}, which is illegal after "
                f"{', '.join(map(str, games.moves[game])) or 'no moves'}"
            )
    return chosen


class _JittedSide:
    """Player of JAX in half of the games at a time, with a memory for each half."""

    def __init__(self, act: Callable, params: Any, num_games: int, memory: Nest):
        self._act = act
        self._params = params
        self._num_games = num_games
        self._memories = [memory, memory]

    def __call__(
        self, key: chex.PRNGKey, position: GameState, games: _Games, half: int, is_first: bool
    ) -> Mapping[int, int | None]:
        """Returns the actions in the running games of a half."""
        start = half * self._num_games
        part = jax.tree.map(lambda leaf: leaf[start : start + self._num_games], position)
        first = np.full(self._num_games, is_first)
        action, self._memories[half] = self._act(
            self._params, key, part, self._memories[half], first
        )
        action = np.asarray(action)
        return {game: int(action[game - start]) for game in games.running(half)}
