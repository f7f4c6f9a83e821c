"""Rules of the games of pgx as batched, pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.environments.pgx.alternation import AlternatingBackgammon
from mukoe.environments.pgx.games import (
    GO_SIZES,
    HEX_SIZES,
    PGX_GAMES,
    is_own_game,
    make_own_game,
    require_pgx,
)
from mukoe.environments.pgx.positions import make_unpack, pack_position, position_bytes
from mukoe.types import Array, BoardArray, EnvironmentSpec, MaskedObservation, Nest

GameState = Any
"""Batched `pgx.State`, `[B, ...]`."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """Rules of a game.

    name: name of the game, as in `PGX_GAMES`.
    players: number of players; with three and more, rewards are vectors.
    spec: specs of one stream.
    init: function `keys [B] -> initial positions`.
    step: function `(positions, actions [B], keys [B]) -> next positions`.
    milestone: function `final positions -> [B] int32`, see `EpisodeResult.milestone`.
    unpack: function `bytes [B, S] -> positions`, the inverse of `pack_position`.
    position: spec `[S]` of these bytes.
    """

    name: str
    players: int
    spec: EnvironmentSpec
    init: Callable[[chex.PRNGKey], GameState]
    step: Callable[[GameState, Array, chex.PRNGKey], GameState]
    milestone: Callable[[GameState], Array]
    unpack: Callable[[Array], GameState]
    position: specs.Array

    def observe(self, game: GameState) -> Nest:
        """Returns the observation `[B, ...]` of the player to move, as `spec` describes it."""
        spec = self.spec.observations
        if not isinstance(spec, MaskedObservation):
            return game.observation
        position = pack_position(game) if jax.tree.leaves(spec.position) else ()
        observation = MaskedObservation(game.observation, game.legal_action_mask, position)
        if self.players < 3:
            return observation
        return observation._replace(player=game.current_player, active=game.active)

    def with_positions(self) -> "Rules":
        """Returns the rules with observations that carry the position."""
        observations = self.spec.observations._replace(position=self.position)
        return dataclasses.replace(self, spec=self.spec._replace(observations=observations))


def load_rules(game: str, max_steps: int | None) -> Rules:
    """Returns the rules of one of `PGX_GAMES`.

    Args:
      game: name of the game in `PGX_GAMES`.
      max_steps: number of steps after which an episode is truncated, or None.

    Raises:
      UserError: pgx is not installed.
    """
    require_pgx(game)
    environment = _make_environment(game)

    def init(key: chex.PRNGKey) -> GameState:
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.asarray(x).dtype), environment.init(key))

    def step(position: GameState, action: Array, key: chex.PRNGKey) -> GameState:
        position = environment.step(position, action, key)
        if max_steps is None:
            return position
        late = position._step_count >= max_steps
        return position.replace(truncated=late & ~position.terminated)

    start = jax.eval_shape(init, jax.random.PRNGKey(0))
    return Rules(
        name=game,
        players=environment.num_players,
        spec=_make_spec(game, start),
        init=jax.vmap(init),
        step=jax.vmap(step),
        milestone=_highest_tile if game == "2048" else _no_milestone,
        unpack=make_unpack(start),
        position=specs.Array((position_bytes(start),), np.uint8, name="position"),
    )


def _make_environment(game: str) -> Any:
    """Returns the `pgx.Env` of a game, unbatched."""
    import pgx

    if is_own_game(game):
        return make_own_game(game)
    if game in GO_SIZES:
        from pgx.go import Go

        return Go(size=GO_SIZES[game])
    if game in HEX_SIZES:
        from mukoe.environments.pgx.sized_hex import SizedHex

        return SizedHex(size=HEX_SIZES[game])
    if game == "nim_3p":
        from mukoe.environments.pgx.multiplayer.nim import Nim

        return Nim()
    if game == "tron_3p":
        from mukoe.environments.pgx.multiplayer.tron import Tron

        return Tron()
    environment: Any = pgx.make(game)  # type: ignore[arg-type]
    return AlternatingBackgammon(environment) if game == "backgammon" else environment


def player_rewards(game: GameState, player: jax.Array) -> jax.Array:
    """Returns the rewards `[B]` float32 of the players `[B]` (numbers of pgx)."""
    return jnp.take_along_axis(game.rewards, player[:, None], axis=1)[:, 0]


def _highest_tile(position: GameState) -> jax.Array:
    return 2 ** position._board.max(axis=-1)


def _no_milestone(position: GameState) -> jax.Array:
    return jnp.zeros(position.terminated.shape, jnp.int32)


def _make_spec(game: str, start: GameState) -> EnvironmentSpec:
    """Returns the specs of one stream of a game whose positions have the shapes of `start`."""
    traits = PGX_GAMES[game]
    features, (num_actions,) = start.observation, start.legal_action_mask.shape
    shape, dtype = features.shape, np.dtype(features.dtype)
    observations: Nest = specs.Array(shape, dtype, name="features")
    if traits.symmetries:
        observations = BoardArray(shape, dtype, traits.symmetries, name="features")
    if traits.masked:
        legal_actions = specs.Array((num_actions,), np.bool_, name="legal_actions")
        observations = MaskedObservation(observations, legal_actions)
    min_discount = -1.0 if traits.players == 2 else 0.0
    reward_shape: tuple[int, ...] = ()
    if traits.players >= 3:
        reward_shape = (traits.players,)
        observations = observations._replace(
            player=specs.Array((), np.int32, name="player"),
            active=specs.Array(reward_shape, np.bool_, name="active"),
        )
    return EnvironmentSpec(
        observations=observations,
        actions=specs.DiscreteArray(num_actions, np.int32, name="action"),
        rewards=specs.Array(reward_shape, np.float32, name="reward"),
        discounts=specs.BoundedArray((), np.float32, min_discount, 1.0, name="discount"),
    )
