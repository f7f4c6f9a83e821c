"""Searches beside what they have to agree with: legal actions, discounts, backups, inputs.

Each of these is equal up to rounding in a sound agent, trained or not.
"""

import numpy as np

from mukoe.diagnosis.finding import Finding

_LEGAL = "the search keeps to legal actions"
_DISCOUNT = "the search discounts like the returns"
_BACKUP = "the root's value is that of its actions"
_INPUT = "acting and learning read the same input"
# Rounding, over the scale of the values.
_TOLERANCE = 1e-2
_SMALLEST = 1e-6


def judge_legal(policy: np.ndarray, visits: np.ndarray, legal: np.ndarray | None) -> Finding:
    """Looks for illegal actions in search policies and visits.

    Args:
      policy: `[N, A]` search policies.
      visits: `[N, A]` visits of the root's actions.
      legal: `[N, A]` bool; None where all actions are legal.
    """
    if legal is None:
        return Finding(_LEGAL, "ok", "every action is legal")
    if policy.shape != legal.shape:
        return Finding(_LEGAL, "unknown", "every search draws its own candidates")
    legal = legal | ~legal.any(axis=-1, keepdims=True)  # Final observations have no legal action.
    wrong = (~legal & ((policy > _SMALLEST) | (visits > 0))).any(axis=-1)
    text = f"{wrong.sum():,} of {len(wrong):,} searches visit or choose an illegal action"
    if wrong.any():
        text += ": the mask of the search is not that of the environment"
        return Finding(_LEGAL, "fault", text)
    return Finding(_LEGAL, "ok", text)


def judge_discounts(predicted: np.ndarray, environment: np.ndarray, discount: float) -> Finding:
    """Compares the discounts of the search's model with those of the returns.

    Args:
      predicted: `[N]` discounts of the model.
      environment: `[N]` discounts of the environment for the same actions.
      discount: discount per step of the agent.
    """
    # A learned model does not know the end of an episode: its values there are 0.
    goes_on = environment != 0
    if not goes_on.any():
        return Finding(_DISCOUNT, "unknown", "no recorded action has a successor")
    found, wanted = predicted[goes_on], discount * environment[goes_on]
    wrong = np.abs(found - wanted) > _TOLERANCE * _TOLERANCE
    if not wrong.any():
        return Finding(_DISCOUNT, "ok", f"{len(found):,} actions, discount {discount:g}")
    text = (
        f"in {wrong.mean():.0%} of {len(found):,} actions; the search multiplies the next value by "
        f"{found[wrong][0]:.4g}, the returns by {wanted[wrong][0]:.4g}"
    )
    if np.allclose(found, -wanted):
        text += ": the turn of the other player has the wrong sign in the search"
    return Finding(_DISCOUNT, "fault", text)


def judge_backup(values: np.ndarray, backups: np.ndarray, scale: float) -> Finding:
    """Compares root values of the tree with the mean of the network's value and those of actions.

    Args:
      values: `[N]` mean value of all visits of the root.
      backups: `[N]` the same from rewards, discounts, values and visits of its actions.
      scale: standard deviation of values between states.
    """
    error = float(np.max(np.abs(values - backups), initial=0.0))
    text = f"largest difference {error:.3g}, values vary by {scale:.3g} between states"
    if error > _TOLERANCE * max(scale, _SMALLEST) + 1e-4 * float(np.mean(np.abs(values))):
        return Finding(_BACKUP, "fault", f"{text}: the backup of the search is wrong")
    return Finding(_BACKUP, "ok", text)


def judge_inputs(acting: np.ndarray, learning: np.ndarray) -> Finding:
    """Compares the network's values `[N]` while acting with those from rows of the same steps."""
    error, scale = float(np.median(np.abs(acting - learning))), float(np.std(acting))
    text = f"median difference {error:.3g} of the network's values, which vary by {scale:.3g}"
    if scale < _SMALLEST:
        return Finding(_INPUT, "unknown", f"{text}: they are the same everywhere")
    if error > _TOLERANCE * scale + 1e-4 * float(np.mean(np.abs(acting))):
        text += ": observations, history or masks of rows differ from those that the policy sees"
        return Finding(_INPUT, "fault", text)
    return Finding(_INPUT, "ok", text)
