"""Flag of the symmetries of the board in evaluation."""

from absl import flags

SYMMETRIES = flags.DEFINE_bool(
    "symmetries",
    None,
    "Average the network over the symmetries of the board instead of the run's value: AlphaZero at "
    "every position, other agents at the root of the search.",
)
