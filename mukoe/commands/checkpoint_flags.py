"""Flags of a run and of its checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mukoe.commands.required_workdir import required_workdir

if TYPE_CHECKING:
    from mukoe.evaluation.players import Reference

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of the run, or zoo:NAME.")
_BEST = flags.DEFINE_bool(
    "best", False, "Use the checkpoint with the best evaluation instead of the latest."
)
_STEP = flags.DEFINE_integer(
    "step", None, "Use the checkpoint of this learner step instead of the latest."
)


def require_workdir(example: str) -> Path:
    """Returns the workdir; see `required_workdir`."""
    return required_workdir(WORKDIR, example)


def reference(workdir: Path) -> "Reference":
    """Returns the reference of the checkpoint in a workdir."""
    from mukoe.evaluation.players import Reference

    return Reference(workdir, _BEST.value, _STEP.value)
