"""Targets of stored rows, computed with loops and independently of the losses."""

import jax
import numpy as np

from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.networks.value_encoding import SupportConfig, ValueEncoding
from mukoe.types import Row

_COVERAGE = "supports cover the targets"


def n_step_return(
    rows: Row, values: np.ndarray, b: int, t: int, steps: int, discount: float
) -> float:
    """Returns the n-step return of row `t` of sequence `b`, for the player to move there.

    Args:
      rows: NumPy rows `[B, T, ...]`.
      values: `[B, T]` bootstrap values.
      b: index of the sequence.
      t: index of the row.
      steps: `n`.
      discount: discount per step.
    """
    total, weight = 0.0, 1.0
    for i in range(t, t + steps):
        if not rows.mask[b, i]:
            break
        total += weight * rows.reward[b, i]
        weight *= discount * rows.discount[b, i]
        if weight == 0 or not rows.mask[b, i + 1]:
            return total + weight * values[b, i + 1]
    else:
        i = t + steps - 1
    return total + weight * values[b, i + 1]


def episode_returns(subject: Subject, discount: float) -> np.ndarray:
    """Returns the discounted return of every step of the recorded episodes that terminated."""
    found: list[float] = []
    for stream in subject.transitions:
        pending: list[tuple[float, float]] = []
        for transition in stream:
            pending.append((transition.reward, discount * transition.discount))
            if transition.discount == 0:
                value = 0.0
                for reward, weight in reversed(pending):
                    value = reward + weight * value
                    found.append(value)
            if transition.is_last:
                pending = []
    return np.asarray(found)


def check_supports(subject: Subject, agent: object) -> Finding:
    """Compares rewards and returns of the recorded episodes with the bins of their supports.

    Args:
      subject: agent under diagnosis.
      agent: configuration of the agent, with `discount` and `network`.
    """
    rewards = np.array([t.reward for stream in subject.transitions for t in stream])
    returns = episode_returns(subject, getattr(agent, "discount", 1.0))
    return support_finding(agent, rewards, returns)


def support_finding(agent: object, rewards: np.ndarray, returns: np.ndarray) -> Finding:
    """Compares rewards `[N]` and discounted returns `[M]` with the bins of their supports."""
    network, discount = getattr(agent, "network", None), getattr(agent, "discount", None)
    supports = [
        (name, getattr(network, name))
        for name in ("value_support", "reward_support")
        if isinstance(getattr(network, name, None), SupportConfig)
    ]
    if not supports or discount is None:
        return Finding(_COVERAGE, "unknown", "the agent has no categorical value")
    targets = {"value_support": returns, "reward_support": rewards}
    table = [["support", "bins", "lowest target", "highest target", "outside"]]
    outside: list[str] = []
    for name, support in supports:
        x = targets[name]
        if not x.size:
            continue
        share = float(np.mean(np.asarray(ValueEncoding(support).is_outside(x))))
        bins = f"{support.minimum:g} to {support.maximum:g}"
        if support.hyperbolic:
            bins += " (transformed)"
        table.append([name, bins, f"{x.min():.4g}", f"{x.max():.4g}", f"{100 * share:.3g}%"])
        if share:
            outside.append(f"{100 * share:.3g}% of the targets lie outside of agent.network.{name}")
    if outside:
        text = "; ".join(outside) + ": widen minimum and maximum, or set hyperbolic=true"
        return Finding(_COVERAGE, "fault", text, table)
    if len(table) == 1:
        return Finding(_COVERAGE, "unknown", "no episode ended", table)
    return Finding(_COVERAGE, "ok", "rewards and returns lie inside", table)


def as_numpy(subject: Subject) -> Row:
    """Returns the rows of the batch as NumPy arrays."""
    return jax.tree.map(np.asarray, subject.sample.rows)
