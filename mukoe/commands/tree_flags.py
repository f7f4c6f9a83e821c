"""Flags of the search trees in evaluation."""

from absl import flags

REUSE_TREE = flags.DEFINE_bool(
    "reuse_tree",
    None,
    "Start the search of a move from the tree of the previous one instead of the run's value: "
    "AlphaZero, in games without chance.",
)
