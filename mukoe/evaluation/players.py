"""Players of two-player games: agents of runs and fixed opponents, all as `Opponent`."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from mukoe import zoo
from mukoe.configuration import load_config
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.openings import with_random_opening
from mukoe.environments.pgx.opponents import OPPONENTS, Opponent, make_opponent
from mukoe.environments.pgx.positions import pack_position
from mukoe.environments.pgx.rules import GameState, Rules, load_rules
from mukoe.errors import UserError
from mukoe.evaluation.engines.base import Engine
from mukoe.evaluation.engines.names import FORMS, is_engine, make_engine
from mukoe.layouts.common.stored_run import StoredRun, open_run
from mukoe.nests import tree_where
from mukoe.types import Array, MaskedObservation, Nest, Policy, PolicyParams


class Reference(NamedTuple):
    """Name of a checkpoint: `WORKDIR`, `WORKDIR@STEP`, `WORKDIR@best` or `zoo:NAME`.

    workdir: directory of the run, or `zoo:NAME`.
    best: flag of the checkpoint with the best evaluation instead of the latest one.
    step: learner step of the checkpoint; None for the latest.
    """

    workdir: Path
    best: bool = False
    step: int | None = None


def parse_reference(text: str) -> Reference:
    """Parses `WORKDIR`, `WORKDIR@STEP`, `WORKDIR@best` or `zoo:NAME`.

    Raises:
      UserError: the text after the @ is neither a learner step nor `best`.
    """
    workdir, at, name = text.rpartition("@")
    if not at or Path(text).exists():
        return Reference(Path(text))
    if name == "best":
        return Reference(Path(workdir), best=True)
    if not name.isdecimal():
        raise UserError(f"'{text}': after the @ comes a learner step or 'best', not '{name}'")
    return Reference(Path(workdir), step=int(name))


@dataclasses.dataclass(frozen=True)
class SearchChanges:
    """Settings of the search in evaluation; None for the value of the run's config."""

    # Mean over the symmetries of the board.
    symmetries: bool | None = None
    # Start of a search from the tree of the previous one.
    reuse_tree: bool | None = None
    # Searches of each position.
    trees: int | None = None


NO_CHANGES = SearchChanges()


def open_agent(
    reference: Reference,
    simulations: int | None = None,
    temperature: float | None = None,
    changes: SearchChanges = NO_CHANGES,
) -> StoredRun:
    """Opens a checkpoint.

    Args:
      reference: name of the checkpoint.
      simulations: simulations per move; None for those of the run's config.
      temperature: temperature of the actions; None for that of the run's config.
      changes: further settings of the search.

    Raises:
      UserError: there is no such run or checkpoint, its agent does not search, or it has no
        symmetries or no tree to reuse.
    """
    workdir = zoo.resolve(reference.workdir)
    settings = {
        "num_simulations": simulations,
        "evaluation_temperature": temperature,
        "evaluation_symmetries": changes.symmetries,
        "evaluation_reuse_tree": changes.reuse_tree,
        "evaluation_trees": changes.trees,
    }
    overrides = {
        f"agent.search.{name}": str(value) for name, value in settings.items() if value is not None
    }
    if overrides:
        agent = getattr(load_config(workdir), "agent", None)
        if not hasattr(agent, "search"):
            raise UserError(
                f"the agent of {reference.workdir} acts without a search: leave out simulations, "
                "temperature, symmetries, reuse_tree and trees"
            )
    return open_run(workdir, best=reference.best, step=reference.step, overrides=overrides)


def simulations_of(run: StoredRun) -> int | None:
    """Returns the simulations per move of a run's agent, None without a search."""
    return _search_setting(run, "num_simulations")


def temperature_of(run: StoredRun) -> float | None:
    """Returns the temperature of a run's actions in evaluation, None for the best action."""
    return _search_setting(run, "evaluation_temperature") or None


def averages_symmetries(run: StoredRun) -> bool:
    """Returns whether a run's agent averages over the symmetries of the board in evaluation."""
    return bool(_search_setting(run, "evaluation_symmetries"))


def reuses_trees(run: StoredRun) -> bool:
    """Returns whether the searches of a run's agent start from previous trees in evaluation."""
    return bool(_search_setting(run, "evaluation_reuse_tree"))


def trees_of(run: StoredRun) -> int | None:
    """Returns the searches of each position by a run's agent in evaluation, None for one."""
    trees = _search_setting(run, "evaluation_trees")
    return None if trees == 1 else trees


def _search_setting(run: StoredRun, name: str) -> Any:
    """Returns a setting of the search of a run's agent, None without a search."""
    return getattr(getattr(run.config.agent, "search", None), name, None)


def two_player_game(run: StoredRun) -> str | None:
    """Returns the game of a run if two players take turns in it, else None."""
    environment = run.config.environment
    if isinstance(environment, PgxConfig) and environment.two_players:
        return environment.game
    return None


def agent_opponent(policy: Policy, params: PolicyParams) -> Opponent:
    """Returns an agent as an opponent, whose memory is the state of the policy.

    Args:
      policy: policy of the agent.
      params: parameters of the policy.
    """

    def decide(
        key: chex.PRNGKey,
        game: GameState,
        observation: MaskedObservation,
        memory: Nest,
        is_first: Array,
    ) -> tuple[jax.Array, Mapping[str, Array], Nest]:
        observation = observation._replace(position=pack_position(game))
        memory = tree_where(is_first, policy.initial_state(is_first.shape[0]), memory)
        action, extras, memory = policy.apply(params, key, observation, memory)
        return jnp.asarray(action), extras, memory

    def act(*inputs: Any) -> tuple[jax.Array, Nest]:
        action, _, memory = decide(*inputs)
        return action, memory

    def act_with_value(*inputs: Any) -> tuple[jax.Array, jax.Array, Nest]:
        action, extras, memory = decide(*inputs)
        return action, extras["search_value"], memory

    searches = "search_value" in policy.extras_spec
    return Opponent(policy.initial_state, act, act_with_value if searches else None)


def rules_with_opening(game: str, moves: int) -> Rules:
    """Returns the rules of a game with initial positions after a random opening.

    Evaluated agents do not explore, so that from one initial position they play a single game.

    Args:
      game: name of a two-player game.
      moves: number of random moves of each side.
    """
    return with_random_opening(load_rules(game, max_steps=None), 2 * moves, min_moves=2 * moves)


@dataclasses.dataclass(frozen=True, eq=False)
class Player:
    """Participant of matches.

    name: name in tables.
    make: function `params -> Opponent`; players that share it are compiled once. None for an
        engine.
    params: argument of `make`.
    actor_steps: agent steps of the training; None for a fixed opponent.
    learner_step: learner step of the checkpoint; None for a fixed opponent.
    simulations: simulations per move; None for a player without a search.
    engine: engine that plays outside of JAX, or None.
    """

    name: str
    make: Callable[[Any], Opponent] | None
    params: Any = ()
    actor_steps: int | None = None
    learner_step: int | None = None
    simulations: int | None = None
    engine: Engine | None = None


def make_fixed_player(name: str, game: str, simulations: int, seed: int = 0) -> Player:
    """Returns a fixed opponent as a player.

    Args:
      name: one of `OPPONENTS`, or an engine; see `make_engine`.
      game: name of the game.
      simulations: simulations per move of `rollout`.
      seed: seed of an engine that takes one.

    Raises:
      UserError: there is no such opponent for the game.
    """
    if is_engine(name):
        rules = load_rules(game, max_steps=None)
        return Player(name, None, engine=make_engine(name, rules, seed))
    opponent = make_opponent(name, game, simulations)
    searches = name == "rollout"
    return Player(name, lambda _: opponent, simulations=simulations if searches else None)


def agent_player(run: StoredRun, make: Callable[[PolicyParams], Opponent], name: str) -> Player:
    """Returns the agent of a run as a player.

    Args:
      run: run with its parameters.
      make: function `params -> Opponent`, `agent_opponent` of the run's policy.
      name: name in tables.
    """
    return Player(
        name,
        make,
        run.params,
        actor_steps=run.counts.get("actor_steps", 0),
        learner_step=int(run.params.learner_steps),
        simulations=simulations_of(run),
    )


def open_opponent(
    text: str, game: str, simulations: int | None, config: PgxConfig, seed: int = 0
) -> Player:
    """Returns the opponent that `--opponent` names.

    Args:
      text: one of `OPPONENTS`, an engine, or a checkpoint as in `parse_reference`.
      game: name of the game.
      simulations: simulations per move of the opponent; None for those of its config.
      config: environment of the evaluated run, with the simulations of `rollout`.
      seed: seed of an engine that takes one.

    Raises:
      UserError: there is no such opponent, or it plays another game.
    """
    if text in OPPONENTS or is_engine(text):
        if simulations is not None and text != "rollout":
            reason = "has settings of its own" if is_engine(text) else "does not search"
            raise UserError(f"opponent '{text}' {reason}: leave out its simulations")
        rollouts = config.rollout_simulations if simulations is None else simulations
        return make_fixed_player(text, game, rollouts, seed)
    reference = parse_reference(text)
    if not zoo.resolve(reference.workdir).is_dir():
        raise UserError(
            f"unknown opponent '{text}': it is none of {', '.join([*OPPONENTS, *FORMS])}, and "
            f"there is no workdir {reference.workdir}"
        )
    run = open_agent(reference, simulations)
    theirs = two_player_game(run)
    if theirs != game:
        raise UserError(f"the agent of {reference.workdir} plays {theirs or 'alone'}, not {game}")
    make = functools.partial(agent_opponent, run.make_policy())
    return agent_player(run, make, f"{run.workdir.name}@{int(run.params.learner_steps)}")
