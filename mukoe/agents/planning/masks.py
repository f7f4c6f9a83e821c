"""Masks of the targets of an unroll."""

from typing import NamedTuple

import chex

from mukoe.types import Array


class UnrollMasks(NamedTuple):
    """Masks of the predictions of an unroll by what is known of their targets; all `[..., S]`.

    acted: mask of taken actions, whose search policy is stored.
    absorbing: mask of steps after a termination: reward and value are 0 for every action.
    known: mask of known value and reward targets (acted or absorbing); after a truncation
        none is known.
    """

    acted: Array
    absorbing: Array
    known: Array


def unroll_masks(discounts: Array, mask: Array) -> UnrollMasks:
    """Computes the masks of taken steps, absorbing steps, and steps with known targets.

    Args:
      discounts: environment's discounts `[..., S]` of the actions.
      mask: mask `[..., S]`, 1 for rows with an action.
    """
    chex.assert_equal_shape([discounts, mask])
    terminates = mask * (discounts == 0)
    absorbing = terminates.cumsum(-1) - terminates
    return UnrollMasks(acted=mask, absorbing=absorbing, known=mask + absorbing)
