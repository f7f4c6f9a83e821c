"""Shape checks of arrays that a user's model or network returns."""

from mukoe.errors import UserError
from mukoe.types import Array


def check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Checks the shape of an array, while a function is traced.

    Broadcasting hides a wrong shape: values `[B, 1]` with rewards `[B]` make returns `[B, B]`.

    Args:
      name: name of the array in the error message.
      array: array to check.
      shape: expected shape.

    Raises:
      UserError: the array has another shape.
    """
    if tuple(array.shape) != shape:
        raise UserError(f"{name} must have shape {shape}, not {tuple(array.shape)}")


def check_rank(name: str, array: Array, rank: int) -> None:
    """Checks the number of axes of an array, while a function is traced.

    Args:
      name: name of the array in the error message.
      array: array to check.
      rank: expected number of axes.

    Raises:
      UserError: the array has another number of axes.
    """
    if len(array.shape) != rank:
        raise UserError(f"{name} must have {rank} axes, not shape {tuple(array.shape)}")
