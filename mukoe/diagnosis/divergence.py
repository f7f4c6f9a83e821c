"""Divergence of policies."""

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
