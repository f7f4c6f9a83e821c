"""Flags of the search trees in evaluation."""

from absl import flags

REUSE_TREE = flags.DEFINE_bool(
    "reuse_tree",
    None,
    "Start the search of a move from the tree of the previous one instead of the run's value: "
    "AlphaZero, in games without chance.",
)

TREES = flags.DEFINE_integer(
    "trees",
    None,
    "Searches of each position, with noise at their roots, whose policies are averaged, instead of "
    "the run's value; each has all the simulations. They are spread over the devices.",
    lower_bound=1,
)
