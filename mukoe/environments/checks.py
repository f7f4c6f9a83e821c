"""What an environment does wrong, said in one line: which one, what was expected, what came."""

from typing import Any

import dm_env
import numpy as np


class EnvironmentFailedError(RuntimeError):
    """An environment raised an error of its own, which is the cause of this one."""


def call(where: str, environment: dm_env.Environment, method: str, *arguments: Any) -> Any:
    """Calls `reset` or `step` of an environment.

    Args:
      where: names the environment.
      environment: that is called.
      method: `reset` or `step`.
      *arguments: of the method.

    Raises:
      EnvironmentFailedError: it raised, or returned something else than a `dm_env.TimeStep`.
    """
    try:
        timestep = getattr(environment, method)(*arguments)
    except Exception as error:  # whatever a person's environment raises
        text = " ".join(str(error).split())
        raise EnvironmentFailedError(
            f"{where}: {method}() must return a dm_env.TimeStep; it raised "
            f"{type(error).__name__}: {text}"
        ) from error
    if not isinstance(timestep, dm_env.TimeStep):
        raise EnvironmentFailedError(
            f"{where}: {method}() must return a dm_env.TimeStep; got {type(timestep).__name__}"
        )
    return timestep


def find_not_finite(batch: np.ndarray) -> tuple[int, float] | None:
    """Returns where in a batch `[B, ...]` of floats is a NaN or an infinity, and which one.

    The first index of `B` that has one, or None.
    """
    finite = np.isfinite(batch)
    if finite.all():
        return None
    index = int(np.argwhere(~finite)[0][0])
    return index, float(batch[index][~finite[index]].flat[0])
