"""Errors and diagnostics of non-finite updates."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from mukoe.errors import UserError
from mukoe.types import Sample


class NonFiniteUpdatesError(ArithmeticError):
    """Error after consecutive updates with a non-finite loss, gradient or parameter.

    count: number of these updates.
    sample: sample of the last of them, as NumPy arrays.
    """

    def __init__(self, count: int, sample: Sample):
        super().__init__(f"{count} updates in a row were not finite")
        self.count = count
        self.sample = sample


@contextlib.contextmanager
def saving_bad_batches(
    workdir: str | os.PathLike[str], name: str = "bad_batch.npz"
) -> Iterator[None]:
    """Converts a NonFiniteUpdatesError to a UserError that names the file of its batch.

    Args:
      workdir: directory of the file.
      name: name of the file, which has an array for each leaf of the sample.
    """
    try:
        yield
    except NonFiniteUpdatesError as error:
        path = Path(workdir) / name
        np.savez(path, **_named_leaves(error.sample))
        raise UserError(
            f"the loss, a gradient or a parameter was NaN or infinite in {error.count} updates "
            f"in a row (run.max_skipped_updates); the last batch is in {path}: look for values "
            "that are not finite there, or lower the learning rate"
        ) from error


def _named_leaves(sample: Sample) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(sample)
    return {".".join(re.findall(r"\w+", jax.tree_util.keystr(path))): leaf for path, leaf in leaves}
