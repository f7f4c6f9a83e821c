"""Flags of the search in evaluation, instead of the values of the run's config."""

from typing import TYPE_CHECKING

from absl import flags

if TYPE_CHECKING:
    from mukoe.evaluation.players import SearchChanges

SIMULATIONS = flags.DEFINE_integer(
    "simulations",
    None,
    "Simulations per decision instead of the run's value; 0 acts from the prior.",
)
_SYMMETRIES = flags.DEFINE_bool(
    "symmetries",
    None,
    "Average the network over the symmetries of the board instead of the run's value: AlphaZero at "
    "every position, other agents at the root of the search.",
)
_REUSE_TREE = flags.DEFINE_bool(
    "reuse_tree",
    None,
    "Start the search of a move from the tree of the previous one instead of the run's value: "
    "AlphaZero, in games without chance.",
)
_TREES = flags.DEFINE_integer(
    "trees",
    None,
    "Searches of each position, with noise at their roots, whose policies are averaged, instead of "
    "the run's value; each has all the simulations. They are spread over the devices.",
    lower_bound=1,
)


def search_changes() -> "SearchChanges":
    """Returns the values of the flags."""
    from mukoe.evaluation.players import SearchChanges

    return SearchChanges(_SYMMETRIES.value, _REUSE_TREE.value, _TREES.value)
