"""Value targets from stored rows, with terminations and truncations told apart.

All functions work on NumPy and JAX arrays alike, with any leading axes. Time is the last
axis. `mask` is 1 on a row whose action was really taken, and 0 from the final observation
on, so within a row sequence it is ones followed by zeros:

    row          t    t+1   ...   L-1     L      L+1    L+2
    mask         1     1     1     1      0       0      0
    reward      r_1   r_2         r_L     0       0      0
    value       v_t  v_t+1       v_L-1   v_L      0      0
                                          ^ the final observation
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mukoe.types import Array


def n_step_returns(
    rewards: Array,
    discounts: Array,
    mask: Array,
    values: Array,
    n: int,
    discount: float,
) -> Array:
    """Discounted sums of `n` rewards, bootstrapped with the value that follows them.

    MuZero (arXiv:1911.08265), equation for `z_t` in section 3 and appendix G:
    `z_t = u_{t+1} + γ u_{t+2} + ... + γ^{n-1} u_{t+n} + γ^n ν_{t+n}`. An episode that
    ends within the `n` steps is bootstrapped with the value of its final observation
    times the discount that led there: 0 for a termination, so nothing is added; `γ` for
    a truncation.

    Args:
      rewards: `[..., S]`, what the action of each row led to.
      discounts: `[..., S]`, the environment's discount that each action led to.
      mask: `[..., S]`, 1 where an action was taken.
      values: `[..., S]`, the value of each row's observation.
      n: number of rewards.
      discount: the agent's discount per step, `γ`.

    Returns:
      `[..., S - n]` returns. Meaningless where the row itself lies behind the end.
    """
    length = rewards.shape[-1] - n
    total = 0.0 * rewards[..., :length]
    weight = 1.0 + total
    bootstrap = values[..., :length]
    for i in range(n):
        taken = mask[..., i : i + length]
        total = total + weight * taken * rewards[..., i : i + length]
        weight = weight * (taken * discount * discounts[..., i : i + length] + (1 - taken))
        bootstrap = taken * values[..., i + 1 : i + 1 + length] + (1 - taken) * bootstrap
    return total + weight * bootstrap


def td_lambda_returns(
    rewards: Array,
    discounts: Array,
    mask: Array,
    values: Array,
    n: int,
    discount: float,
    td_lambda: float,
) -> Array:
    """Exponentially weighted means of the 1-step to `n`-step returns.

    Sutton & Barto (2018), equation 12.9, the truncated λ-return
    `G_t = (1 - λ) Σ_{i=1}^{n-1} λ^{i-1} G_t^{(i)} + λ^{n-1} G_t^{(n)}`, here by its recursion
    from the far end, `G_t = r_{t+1} + γ ((1 - λ) v_{t+1} + λ G_{t+1})`. Behind the end of an
    episode is what `n_step_returns` says: nothing after a termination,
    the value of the final observation after a truncation. `λ = 1` is the `n`-step return.

    Args:
      rewards: `[..., S]`, what the action of each row led to.
      discounts: `[..., S]`, the environment's discount that each action led to.
      mask: `[..., S]`, 1 where an action was taken.
      values: `[..., S]`, the value of each row's observation.
      n: number of rewards.
      discount: the agent's discount per step, `γ`.
      td_lambda: `λ`.

    Returns:
      `[..., S - n]` returns. Meaningless where the row itself lies behind the end.
    """
    if td_lambda == 1.0:
        return n_step_returns(rewards, discounts, mask, values, n, discount)
    length = rewards.shape[-1] - n
    following = values[..., n : n + length]
    for i in reversed(range(n)):
        here, after = slice(i, i + length), slice(i + 1, i + 1 + length)
        mixed = (1 - td_lambda) * values[..., after] + td_lambda * following
        stepped = rewards[..., here] + discount * discounts[..., here] * mixed
        following = mask[..., here] * stepped + (1 - mask[..., here]) * values[..., here]
    return following


def retrace_returns(
    rewards: Array,
    discounts: Array,
    mask: Array,
    action_values: Array,
    values: Array,
    ratios: Array,
    gae_lambda: float,
    discount: float,
) -> Array:
    """Off-policy returns by Retrace, down to the end of the window or of the episode.

    Munos et al. 2016 (arXiv:1606.02647), equation 4, with `c = λ min(1, π/μ)`:
    `G_t = r_{t+1} + γ (v_{t+1} - c_{t+1} q(s_{t+1}, a_{t+1}) + c_{t+1} G_{t+1})`; behind the
    last row, and behind the final observation of an episode, `c = 0`.

    Args:
      rewards: `[..., S]`, what the action of each row led to.
      discounts: `[..., S]`, the environment's discount that each action led to.
      mask: `[..., S]`, 1 where an action was taken.
      action_values: `[..., S]`, `q(s, a)` of the action of each row.
      values: `[..., S]`, `v(s)` of each row's observation.
      ratios: `[..., S]`, `π(a | s) / μ(a | s)` of the action of each row.
      gae_lambda: `λ`.
      discount: the agent's discount per step, `γ`.

    Returns:
      `[..., S - 1]` returns. Meaningless where the row itself lies behind the end.
    """
    traces = gae_lambda * mask * ratios.clip(None, 1.0)
    follow = values[..., -1]
    reversed_returns = []
    for t in reversed(range(rewards.shape[-1] - 1)):
        current = rewards[..., t] + discount * discounts[..., t] * follow
        reversed_returns.append(current)
        follow = values[..., t] + traces[..., t] * (current - action_values[..., t])
    namespace = np if isinstance(rewards, np.ndarray) else jnp
    return namespace.stack(reversed_returns[::-1], axis=-1)


class UnrollMasks(NamedTuple):
    """Which predictions of an unroll have a known target; all `[..., S]`.

    acted: 1 where a search policy was stored for an action that was taken.
    absorbing: 1 behind a termination: reward and value are 0, whatever the action.
    known: 1 where value and reward targets are known (acted or absorbing); behind a
        truncation nothing is.
    """

    acted: Array
    absorbing: Array
    known: Array


def unroll_masks(discounts: Array, mask: Array) -> UnrollMasks:
    """Tells the steps of an episode from absorbing and from unknown ones.

    Args:
      discounts: `[..., S]`, the environment's discount that each action led to.
      mask: `[..., S]`, 1 where an action was taken.
    """
    terminates = mask * (discounts == 0)
    absorbing = terminates.cumsum(-1) - terminates
    return UnrollMasks(acted=mask, absorbing=absorbing, known=mask + absorbing)
