"""Flag of the time of a move in a game, instead of a number of simulations."""

from absl import flags

from mukoe.commands import search_flags
from mukoe.errors import UserError

SECONDS_PER_MOVE = flags.DEFINE_float(
    "seconds_per_move",
    None,
    "Seconds per move of a game instead of --simulations: as many simulations as this machine "
    "makes in them.",
    lower_bound=1e-3,
)


def seconds_per_move() -> float | None:
    """Returns the seconds of a move; None for the number of simulations.

    Raises:
      UserError: --simulations is given as well.
    """
    seconds = SECONDS_PER_MOVE.value
    if seconds is not None and search_flags.SIMULATIONS.value is not None:
        raise UserError("--simulations and --seconds_per_move exclude each other: give one of them")
    return seconds
