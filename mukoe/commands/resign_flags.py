"""Flags of the resignation of lost games."""

from typing import TYPE_CHECKING

from absl import flags

if TYPE_CHECKING:
    from mukoe.environments.pgx.resignation import Resignation

RESIGN_BELOW = flags.DEFINE_float(
    "resign_below",
    None,
    "t: resign when the value of the search was below -t at --resign_moves successive own moves; "
    "by default games are played out. mukoe resign measures the errors.",
)
RESIGN_MOVES = flags.DEFINE_integer(
    "resign_moves", 3, "Successive own moves with a value below -t before the agent resigns."
)


def resignation() -> "Resignation | None":
    """Returns the rule of the flags; None without --resign_below.

    Raises:
      UserError: a flag is out of bounds.
    """
    from mukoe.environments.pgx.resignation import Resignation

    if RESIGN_BELOW.value is None:
        return None
    return Resignation(RESIGN_BELOW.value, RESIGN_MOVES.value)
