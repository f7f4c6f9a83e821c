"""Divergence of policies, also from a uniform one."""

import numpy as np


def kl(p: np.ndarray, q: np.ndarray, smallest: float) -> np.ndarray:
    """Returns the KL divergences `[...]` of policies `p` from `q`, `[..., A]`, in nats.

    Args:
      p: probabilities.
      q: probabilities.
      smallest: number that replaces smaller probabilities of both.
    """
    p, q = np.maximum(p, smallest), np.maximum(q, smallest)
    return np.sum(p * (np.log(p) - np.log(q)), axis=-1)


def uniform_policy(legal: np.ndarray) -> np.ndarray:
    """Returns policies `[..., A]` of equal probabilities for legal actions.

    Args:
      legal: `[..., A]` bool; all actions count where none is legal, as in final observations.
    """
    legal = legal | ~legal.any(axis=-1, keepdims=True)
    return legal / legal.sum(axis=-1, keepdims=True)
