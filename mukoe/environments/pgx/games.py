"""Games of pgx as pure functions over `B` streams that restart by themselves.

pgx calls the two players 0 and 1 and draws who moves first. Here a *seat* is what matters:
seat 0 moves first, seat 1 second.

Self-play shows every position to the player who is to move, and rewards the one who moved:

    time         t           t+1          t+2
    to move      X           O            X
    action       a_t         a_{t+1}      (X has lost)
    reward       r_{t+1}=0   r_{t+2}=+1   for the one who acted: X, then O
    discount     -1          0            a value of O's is minus one of X's

Backgammon, in which a turn may be several moves, is played so that turns alternate; see
`mukoe.environments.pgx.alternation`.

A match shows only the positions where the agent is to move: the opponent answers inside of
the step, and rewards and discounts are those of any single-player environment.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import dm_env
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.environments.pgx.alternation import AlternatingBackgammon
from mukoe.errors import UserError
from mukoe.types import Array, EnvironmentSpec, MaskedObservation, Nest

GameState = Any
"""A batched `pgx.State`, `[B, ...]`."""


class GameTraits(NamedTuple):
    """What mukoe has to know of a game.

    players: 1, or 2 with strictly alternating turns.
    masked: whether some actions are at times illegal.
    max_steps: steps after which an episode is truncated by default; None where every episode
        ends by the rules.
    """

    players: int
    masked: bool
    max_steps: int | None


_TURNS = GameTraits(players=2, masked=True, max_steps=None)
# A good player of Breakout or Freeway would never stop.
_MINATAR = GameTraits(players=1, masked=False, max_steps=10_000)

PGX_GAMES: Mapping[str, GameTraits] = {
    "tic_tac_toe": _TURNS,
    "connect_four": _TURNS,
    "othello": _TURNS,
    "go_9x9": _TURNS,
    "hex": _TURNS,
    "backgammon": _TURNS,
    "minatar-asterix": _MINATAR,
    "minatar-breakout": _MINATAR,
    "minatar-freeway": _MINATAR,
    "minatar-seaquest": _MINATAR,
    "minatar-space_invaders": _MINATAR,
    "2048": GameTraits(players=1, masked=True, max_steps=None),
}
"""The games by the names that pgx has for them."""

MOST_OPENING_MOVES = 1_000
"""No game that is played to win lasts as long."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules of a game, batched and pure.

    name: the game.
    players: 1 or 2.
    spec: of one stream.
    init: `keys [B]` to the first positions.
    step: `(positions, actions [B], keys [B])` to the next positions.
    milestone: of final positions, `[B]` int32 what `EpisodeResult` says.
    """

    name: str
    players: int
    spec: EnvironmentSpec
    init: Callable[[chex.PRNGKey], GameState]
    step: Callable[[GameState, Array, chex.PRNGKey], GameState]
    milestone: Callable[[GameState], Array]

    def observe(self, game: GameState) -> Nest:
        """Returns what the player to move sees, `[B, ...]`."""
        if isinstance(self.spec.observations, MaskedObservation):
            return MaskedObservation(game.observation, game.legal_action_mask)
        return game.observation


class Streams(NamedTuple):
    """`B` games in progress.

    game: the positions.
    first_player: `[B]` int32, pgx's number of the player in seat 0.
    seat: `[B]` int32, the agent's seat; 0 in self-play, where it has both.
    length: `[B]` int32, steps of the agent so far.
    episode_return: `[B]` float32, the rewards so far of the player in the agent's seat.
    ended: `[B]` bool, where the next step starts a new episode.
    opponent: the opponent's memory `[B, ...]`, and `[B]` bool where it moved already; `()`
        without opponent.
    """

    game: GameState
    first_player: jax.Array
    seat: jax.Array
    length: jax.Array
    episode_return: jax.Array
    ended: jax.Array
    opponent: Nest


class GameStep(NamedTuple):
    """The arrays of a batched `dm_env.TimeStep`.

    step_type: `[B]` int32.
    reward: `[B]` float32.
    discount: `[B]` float32.
    observation: `[B, ...]`, of the player to move.
    """

    step_type: jax.Array
    reward: jax.Array
    discount: jax.Array
    observation: Nest


class Opponent(NamedTuple):
    """Somebody to play against: pure and jittable functions.

    initial_state: the memory `[B, ...]` at the start of a game, given `B`; `()` without memory.
    act: `(key, game, observation, memory, is_first [B] bool) -> (action [B] int32, memory)`,
        where `game` is the batched pgx state and `observation` the `MaskedObservation`, both
        `[B, ...]`. At `is_first` the memory is of an earlier game and must be reset. An action
        is also asked for where the game is over; there it is ignored.
    """

    initial_state: Callable[[int], Nest]
    act: Callable[[chex.PRNGKey, GameState, MaskedObservation, Nest, Array], tuple[jax.Array, Nest]]


@dataclasses.dataclass(frozen=True, eq=False)
class GameFunctions:
    """An environment as two pure functions, for a caller who jits or scans them.

    rules: of the game.
    num_envs: `B`.
    init: `(key, seat=None) -> (streams, GameStep)`; `seat` `[B]` is where the agent sits in
        the first episodes of a match (None: stream `i` in `i % 2`), and ignored in self-play.
    step: `(streams, action [B], key) -> (streams, GameStep)`. A stream that ended starts a new
        episode instead. Illegal actions are not noticed here.
    """

    rules: Rules
    num_envs: int
    init: Callable[..., tuple[Streams, GameStep]]
    step: Callable[[Streams, Array, chex.PRNGKey], tuple[Streams, GameStep]]

    @functools.cached_property
    def jitted_init(self) -> Callable:
        """`init`, jitted once for all who share these functions."""
        return jax.jit(self.init)

    @functools.cached_property
    def jitted_step(self) -> Callable:
        """`(streams, action [B], key, count)`: `step`, jitted, with `fold_in(key, count)`."""

        def step(streams: Streams, action: Array, key: chex.PRNGKey, count: Array):
            return self.step(streams, action, jax.random.fold_in(key, count))

        return jax.jit(step)


def require_pgx(game: str) -> None:
    """Raises a UserError unless pgx is installed; does not import it, which starts JAX."""
    if importlib.util.find_spec("pgx") is None:
        raise UserError(
            f"game '{game}' needs the package pgx; install it by pip install 'mukoe[games]'"
        )


def load_rules(game: str, max_steps: int | None) -> Rules:
    """Returns the rules of one of `PGX_GAMES`.

    Args:
      game: its name.
      max_steps: steps after which an episode is truncated, or None.

    Raises:
      UserError: pgx is not installed.
    """
    require_pgx(game)
    import pgx

    environment: Any = pgx.make(game)  # type: ignore[arg-type]
    if game == "backgammon":
        environment = AlternatingBackgammon(environment)

    def init(key: chex.PRNGKey) -> GameState:
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.asarray(x).dtype), environment.init(key))

    def step(position: GameState, action: Array, key: chex.PRNGKey) -> GameState:
        position = environment.step(position, action, key)
        if max_steps is None:
            return position
        late = position._step_count >= max_steps
        return position.replace(truncated=late & ~position.terminated)

    return Rules(
        name=game,
        players=environment.num_players,
        spec=_make_spec(game, environment),
        init=jax.vmap(init),
        step=jax.vmap(step),
        milestone=_highest_tile if game == "2048" else _no_milestone,
    )


def _highest_tile(position: GameState) -> jax.Array:
    return 2 ** position._board.max(axis=-1)


def _no_milestone(position: GameState) -> jax.Array:
    return jnp.zeros(position.terminated.shape, jnp.int32)


def with_random_opening(rules: Rules, max_moves: int) -> Rules:
    """Returns the rules of the game as it goes on after a random opening.

    Each game has 0 to `max_moves` moves behind it, any number as often, each uniform over the
    legal ones; a move that would end the game is not made.

    Args:
      rules: of a game of two players.
      max_moves: of both players together.
    """

    def random_move(position: GameState, keys: chex.PRNGKey) -> GameState:
        logits = jnp.where(position.legal_action_mask, 0.0, -jnp.inf)
        after = rules.step(position, jax.vmap(jax.random.categorical)(keys, logits), keys)
        return _select(after.terminated | after.truncated, position, after)

    def init(keys: chex.PRNGKey) -> GameState:
        position = rules.init(keys)
        count_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, max_moves)
        counts = jax.vmap(lambda key: jax.random.randint(key, (), 0, max_moves + 1))(count_keys)

        def move(index: int, position: GameState) -> GameState:
            move_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, index)
            return _select(index < counts, random_move(position, move_keys), position)

        return jax.lax.fori_loop(0, max_moves, move, position)

    return dataclasses.replace(rules, init=init)


def self_play(rules: Rules, num_envs: int) -> GameFunctions:
    """The agent plays every move: both players' in turn, or the only player's.

    Reward `r_{t+1}` is that of the player who acted at `t`; the discount is -1 where the other
    player is to move next. A single player has discounts 0 and 1.
    """
    turn = -1.0 if rules.players == 2 else 1.0

    def begin(keys: chex.PRNGKey) -> Streams:
        return _begin(rules, keys, jnp.zeros(num_envs, jnp.int32), ())

    def init(key: chex.PRNGKey, seat: Array | None = None) -> tuple[Streams, GameStep]:
        del seat
        streams = begin(_stream_keys(key, num_envs))
        return streams, _first_step(rules, streams)

    def step(streams: Streams, action: Array, key: chex.PRNGKey) -> tuple[Streams, GameStep]:
        keys = _stream_keys(key, num_envs)
        mover, starts = streams.game.current_player, streams.ended
        moved = _move(rules, streams, action, keys)._replace(length=streams.length + 1)
        reward = _reward_of(moved.game, mover)
        streams = _select(starts, begin(keys), moved)
        return streams, _make_step(rules, streams, starts, reward, turn)

    return GameFunctions(rules, num_envs, init, step)


def match(rules: Rules, num_envs: int, opponent: Opponent) -> GameFunctions:
    """The agent plays one seat of a two-player game, the opponent the other.

    Stream `i` starts in seat `i % 2` and changes seats after each finished game. Rewards are
    the agent's; discounts are 1 until the game is over. The last observation of a game is seen
    by the player who would have moved next.
    """

    def begin(keys: chex.PRNGKey, seat: jax.Array) -> Streams:
        memory = (opponent.initial_state(num_envs), jnp.zeros(num_envs, bool))
        return _begin(rules, keys, seat, memory)

    def reply(streams: Streams, replies: jax.Array, keys: chex.PRNGKey, key: chex.PRNGKey):
        memory, moved_before = streams.opponent
        observation = rules.observe(streams.game)
        action, memory = opponent.act(key, streams.game, observation, memory, ~moved_before)
        moved = _move(rules, streams, action, keys)
        moved = moved._replace(opponent=(memory, jnp.ones(num_envs, bool)))
        return _select(replies, moved, streams)

    def init(key: chex.PRNGKey, seat: Array | None = None) -> tuple[Streams, GameStep]:
        seat = jnp.asarray(jnp.arange(num_envs) % 2 if seat is None else seat, jnp.int32)
        init_key, reply_key, act_key = jax.random.split(key, 3)
        streams = begin(_stream_keys(init_key, num_envs), seat)
        streams = reply(streams, seat == 1, _stream_keys(reply_key, num_envs), act_key)
        return streams, _first_step(rules, streams)

    def step(streams: Streams, action: Array, key: chex.PRNGKey) -> tuple[Streams, GameStep]:
        step_key, reply_key, act_key = jax.random.split(key, 3)
        keys = _stream_keys(step_key, num_envs)
        starts, score = streams.ended, streams.episode_return
        moved = _move(rules, streams, action, keys)._replace(length=streams.length + 1)
        streams = _select(starts, begin(keys, 1 - streams.seat), moved)
        replies = jnp.where(starts, streams.seat == 1, ~streams.ended)
        streams = reply(streams, replies, _stream_keys(reply_key, num_envs), act_key)
        reward = streams.episode_return - score
        return streams, _make_step(rules, streams, starts, reward, 1.0)

    return GameFunctions(rules, num_envs, init, step)


def seat_to_move(streams: Streams) -> jax.Array:
    """Returns `[B]` int32, 0 where the player who moved first is to move."""
    return streams.first_player ^ streams.game.current_player


def _stream_keys(key: chex.PRNGKey, num_envs: int) -> chex.PRNGKey:
    """Keys `[B]`, the same for a stream however many others there are."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_envs))


def _begin(rules: Rules, keys: chex.PRNGKey, seat: jax.Array, opponent: Nest) -> Streams:
    game = rules.init(keys)
    moves_behind = game._step_count if rules.players == 2 else 0
    return Streams(
        game=game,
        first_player=(game.current_player + moves_behind) % rules.players,
        seat=seat,
        length=jnp.zeros_like(seat),
        episode_return=jnp.zeros(seat.shape, jnp.float32),
        ended=jnp.zeros(seat.shape, bool),
        opponent=opponent,
    )


def _move(rules: Rules, streams: Streams, action: Array, keys: chex.PRNGKey) -> Streams:
    """Whoever is to move moves."""
    game = rules.step(streams.game, action, keys)
    reward = _reward_of(game, streams.first_player ^ streams.seat)
    return streams._replace(
        game=game,
        episode_return=streams.episode_return + reward,
        ended=game.terminated | game.truncated,
    )


def _reward_of(game: GameState, player: jax.Array) -> jax.Array:
    return jnp.take_along_axis(game.rewards, player[:, None], axis=1)[:, 0]


def _select(condition: jax.Array, on_true: Nest, on_false: Nest) -> Nest:
    def select(left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.where(jnp.reshape(condition, (-1,) + (1,) * (left.ndim - 1)), left, right)

    return jax.tree.map(select, on_true, on_false)


def _first_step(rules: Rules, streams: Streams) -> GameStep:
    starts = jnp.ones_like(streams.ended)
    return _make_step(rules, streams, starts, jnp.zeros_like(streams.episode_return), 1.0)


def _make_step(
    rules: Rules, streams: Streams, starts: jax.Array, reward: jax.Array, discount: float
) -> GameStep:
    step_type = jnp.where(streams.ended, int(dm_env.StepType.LAST), int(dm_env.StepType.MID))
    discounts = jnp.where(streams.game.truncated, 1.0, discount)
    discounts = jnp.where(streams.game.terminated, 0.0, discounts)
    return GameStep(
        step_type=jnp.where(starts, int(dm_env.StepType.FIRST), step_type).astype(jnp.int32),
        reward=jnp.where(starts, 0.0, reward),
        discount=jnp.where(starts, 1.0, discounts),
        observation=rules.observe(streams.game),
    )


def _make_spec(game: str, environment: Any) -> EnvironmentSpec:
    traits = PGX_GAMES[game]
    num_actions = environment.num_actions
    seen = jax.eval_shape(environment.init, jax.random.PRNGKey(0)).observation
    observations: Nest = specs.Array(seen.shape, np.dtype(seen.dtype), name="features")
    if traits.masked:
        legal_actions = specs.Array((num_actions,), np.bool_, name="legal_actions")
        observations = MaskedObservation(observations, legal_actions)
    least = -1.0 if traits.players == 2 else 0.0
    return EnvironmentSpec(
        observations=observations,
        actions=specs.DiscreteArray(num_actions, np.int32, name="action"),
        rewards=specs.Array((), np.float32, name="reward"),
        discounts=specs.BoundedArray((), np.float32, least, 1.0, name="discount"),
    )
