"""Agent of a run in a game of a protocol."""

import functools
from collections.abc import Callable
from pathlib import Path

from mukoe import zoo
from mukoe.configuration import load_config
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.resignation import Resignation
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.evaluation.decision_time import with_seconds_per_move
from mukoe.evaluation.engines.agent_game import AgentGame
from mukoe.evaluation.players import (
    NO_CHANGES,
    Reference,
    SearchChanges,
    agent_opponent,
    agent_player,
    open_agent,
    simulations_of,
)


def check_protocol(workdir: Path, fits: Callable[[str], bool], protocol: str) -> None:
    """Raises a UserError unless a run is there and a protocol has its game.

    Args:
      workdir: directory of the run, or `zoo:NAME`.
      fits: function of the game's name, True if the protocol has the game.
      protocol: name of the protocol and its games, for the error.
    """
    environment = getattr(load_config(zoo.resolve(workdir)), "environment", None)
    if not isinstance(environment, PgxConfig) or not fits(environment.game):
        raise UserError(f"the run of {workdir} has no game of the protocol ({protocol})")


def open_game(
    reference: Reference,
    simulations: int | None,
    seed: int,
    seconds_per_move: float | None = None,
    changes: SearchChanges = NO_CHANGES,
    resignation: Resignation | None = None,
) -> AgentGame:
    """Opens a checkpoint and starts a game; the agent's move is compiled.

    Args:
      reference: name of the checkpoint.
      simulations: simulations per move; None for those of the run's config.
      seed: seed of the agent's random choices.
      seconds_per_move: seconds that the simulations of a move take; None for `simulations`.
      changes: further settings of the search.
      resignation: rule by which the agent resigns; None to play all games out.

    Raises:
      UserError: there is no such run or checkpoint, its agent does not search, or it has no
        symmetries or no tree to reuse.
    """
    run = open_agent(reference, simulations, changes=changes)
    if seconds_per_move is not None:
        run = with_seconds_per_move(run, seconds_per_move)
    if resignation is not None and simulations_of(run) is None:
        raise UserError("--resign_below needs an agent that searches")
    rules = load_rules(run.config.environment.game, max_steps=None)
    make = functools.partial(agent_opponent, run.make_policy())
    game = AgentGame(rules, agent_player(run, make, "agent"), seed, resignation)
    game.genmove()
    game.reset()
    return game
