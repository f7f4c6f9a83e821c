"""Agent of a command that plays as an engine, from `--workdir` and the flags of the checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mukoe.commands import checkpoint_flags, move_time_flags, search_flags
from mukoe.system import process_environment, set_process_environment

if TYPE_CHECKING:
    from mukoe.environments.pgx.resignation import Resignation
    from mukoe.evaluation.engines.agent_game import AgentGame

flags.adopt_module_key_flags(checkpoint_flags)
flags.adopt_module_key_flags(move_time_flags)
flags.adopt_module_key_flags(search_flags)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the agent's random choices.")


def prepared_workdir(example: str) -> Path:
    """Sets the environment of the process, before JAX is imported, and returns the workdir.

    Args:
      example: workdir that the error names.

    Raises:
      UserError: --workdir is missing.
    """
    workdir = checkpoint_flags.require_workdir(example)
    set_process_environment(process_environment())
    return workdir


def game_opener(
    workdir: Path,
    fits: Callable[[str], bool],
    protocol: str,
    resignation: "Resignation | None" = None,
) -> "Callable[[], AgentGame]":
    """Returns the function that loads the agent of the run and starts its game.

    Programs wait for the first answers only for seconds, so the agent is loaded after them.

    Args:
      workdir: directory of the run, or `zoo:NAME`.
      fits: function of the game's name, True if the protocol has the game.
      protocol: name of the protocol and its games, for the error.
      resignation: rule by which the agent resigns; None to play all games out.

    Raises:
      UserError: there is no such run, or the protocol does not have its game.
    """
    from mukoe.evaluation.engines.agent_of_run import check_protocol, open_game

    seconds = move_time_flags.seconds_per_move()
    check_protocol(workdir, fits, protocol)
    reference = checkpoint_flags.reference(workdir)
    return lambda: open_game(
        reference,
        search_flags.SIMULATIONS.value,
        SEED.value,
        seconds,
        search_flags.search_changes(),
        resignation,
    )
