"""Legal-action masks of Gymnasium environments, which Gymnasium's API does not have.

By convention the mask is `info['action_mask']`, or the part `action_mask` of a Dict observation
(PettingZoo). It has an entry for each action of a `Discrete` space, 1 or True if it is legal.
"""

import logging
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from mukoe.errors import UserError

MaskSource = Literal["none", "info", "observation"]
"""Place of the mask: nowhere, `info['action_mask']`, or the observation's part `action_mask`."""

MASK = "action_mask"
"""Key of the mask."""

_log = logging.getLogger("mukoe")
_warned: set[tuple[str, str]] = set()


def split_mask(space: spaces.Space, source: MaskSource, name: str) -> spaces.Space:
    """Returns the observation space without the mask.

    A Dict of two parts, mask and observation, becomes the space of the observation.

    Raises:
        UserError: the mask is to come from the observation, and the space has no such part.
    """
    if source != "observation":
        return space
    if not isinstance(space, spaces.Dict) or MASK not in space.spaces or len(space.spaces) == 1:
        raise UserError(
            f"{name} has no action mask in its observations {space}; "
            f"action_mask='observation' needs a Dict with the part '{MASK}' and another one"
        )
    rest = {key: part for key, part in space.spaces.items() if key != MASK}
    return next(iter(rest.values())) if len(rest) == 1 else spaces.Dict(rest)


def without_mask(observation: Any, space: spaces.Space) -> Any:
    """Returns the observation of a space of `split_mask`."""
    if isinstance(space, spaces.Dict) or not isinstance(observation, dict):
        return observation
    (rest,) = (part for key, part in observation.items() if key != MASK)
    return rest


def check_discrete(space: spaces.Space, name: str) -> None:
    """Raises a UserError unless the actions are `Discrete`."""
    if not isinstance(space, spaces.Discrete):
        raise UserError(f"{name} has actions {space}; an action mask needs Discrete")


def read_mask(holder: Any, size: int, where: str, is_last: bool) -> np.ndarray:
    """Returns the legal-action mask `[A]` bool.

    Args:
        holder: `info` or observation.
        size: number of actions `A`.
        where: 'info' or 'observation'.
        is_last: True if the episode has ended; a missing mask is then all True.

    Raises:
        UserError: the mask is missing, or is not an array `[A]` of 0 and 1.
    """
    if not isinstance(holder, dict) or MASK not in holder:
        if is_last:
            return np.ones(size, bool)
        raise UserError(f"{where} has no part '{MASK}', which the configuration requires")
    mask = np.asarray(holder[MASK])
    if mask.shape != (size,) or mask.dtype.kind not in "fiub" or not np.isin(mask, (0, 1)).all():
        raise UserError(
            f"{where}['{MASK}'] must be {size} numbers 0 or 1; got shape {mask.shape}, dtype "
            f"{mask.dtype}, values {' '.join(str(mask).split())[:60]}"
        )
    return mask.astype(bool)


def warn_unused(holder: Any, where: Literal["info", "observation"], name: str) -> None:
    """Warns once per environment name about a mask that is present and not used.

    Args:
        holder: `info`, or the parts of the observation space.
        where: place of the mask.
        name: name of the environment.
    """
    if isinstance(holder, dict) and MASK in holder and (name, where) not in _warned:
        _warned.add((name, where))
        _log.warning(
            "%s has a legal-action mask in %s['%s'], which is not used; to use it, give "
            "--config.environment.action_mask=%s",
            name,
            where,
            MASK,
            where,
        )
