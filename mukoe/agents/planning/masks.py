"""Masks of the targets of an unroll."""

from typing import NamedTuple

import chex

from mukoe.types import PerStep


class UnrollMasks(NamedTuple):
    """Masks of the predictions of an unroll by what is known of their targets; all `[..., S]`.

    acted: mask of taken actions, whose search policy is stored.
    known: mask of known value and reward targets: of taken actions, and of absorbing states after
        a termination, where both are 0 for every action. After a truncation none is known.
    """

    acted: PerStep
    known: PerStep


def unroll_masks(discounts: PerStep, mask: PerStep) -> UnrollMasks:
    """Computes the masks of taken actions and of steps with known targets.

    Args:
      discounts: environment's discounts `[..., S]` of the actions.
      mask: mask `[..., S]`, 1 for rows with an action.
    """
    chex.assert_equal_shape([discounts, mask])
    terminates = mask * (discounts == 0)
    absorbing = terminates.cumsum(-1) - terminates
    return UnrollMasks(acted=mask, known=mask + absorbing)
