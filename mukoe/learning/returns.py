"""Return estimators for stored rows, with terminations distinguished from truncations.

The functions of row sequences accept NumPy and JAX arrays with any leading axes. Time is the last
axis. `mask` is 1 for rows with an action, and 0 from the final observation onwards, so within a
row sequence it is ones followed by zeros:

    row          t    t+1   ...   L-1     L      L+1    L+2
    mask         1     1     1     1      0       0      0
    reward      r_1   r_2         r_L     0       0      0
    value       v_t  v_t+1       v_L-1   v_L      0      0
                                          ^ the final observation

rlax computes generalised advantages here and is the oracle of the other estimators in the tests.
Those are implemented here because rlax has no masked tails after the end of an episode and no
NumPy versions, which adders use for initial priorities.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.configuration.registry import Registry
from mukoe.types import Array, PerStep


def n_step_returns(
    rewards: PerStep,
    discounts: PerStep,
    mask: PerStep,
    values: PerStep,
    n: int,
    discount: float,
) -> PerStep:
    """Computes `n`-step returns, bootstrapped with the value of the state after `n` steps.

    MuZero (arXiv:1911.08265), equation for `z_t` in section 3 and appendix G:
    `z_t = u_{t+1} + γ u_{t+2} + ... + γ^{n-1} u_{t+n} + γ^n ν_{t+n}`. An episode that
    ends within the `n` steps is bootstrapped with the value of its final observation
    times the discount of its last step: 0 for a termination, `γ` for a truncation.

    Args:
      rewards: rewards `[..., S]` of the actions.
      discounts: environment's discounts `[..., S]` of the actions.
      mask: mask `[..., S]`, 1 for rows with an action.
      values: values `[..., S]` of the observations.
      n: number of rewards.
      discount: agent's discount per step, `γ`.

    Returns:
      Returns `[..., S - n]`, undefined for rows after the end of the episode.
    """
    chex.assert_equal_shape([rewards, discounts, mask, values])
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


def n_step_states(mask: PerStep, n: int, steps: Array | None = None) -> PerStep:
    """Returns the indices `[..., S - n]` of the states that bootstrap `n_step_returns`.

    That of row `t` is `min(t + n, L)` with the final observation at `L`; after it, `t` itself.

    Args:
      mask: mask `[..., S]`, 1 for rows with an action.
      n: largest number of rewards.
      steps: number of rewards `[...]` int32, from 1 to `n`; None for `n`.
    """
    length = mask.shape[-1] - n
    ones = jnp.asarray(mask, jnp.int32)
    taken = jnp.cumsum(ones, axis=-1) - ones  # Actions before each row.
    after = taken[..., n:]
    if steps is not None:
        after = jnp.take_along_axis(taken, jnp.arange(length) + steps[..., None], axis=-1)
    return jnp.arange(length) + after - taken[..., :length]


def td_lambda_returns(
    rewards: PerStep,
    discounts: PerStep,
    mask: PerStep,
    values: PerStep,
    n: int,
    discount: float,
    td_lambda: float,
) -> PerStep:
    """Computes exponentially weighted means of the 1-step to `n`-step returns.

    Sutton & Barto (2018), equation 12.9, the truncated λ-return
    `G_t = (1 - λ) Σ_{i=1}^{n-1} λ^{i-1} G_t^{(i)} + λ^{n-1} G_t^{(n)}`, computed by its recursion
    backwards from the last step, `G_t = r_{t+1} + γ ((1 - λ) v_{t+1} + λ G_{t+1})`. The end of
    an episode is treated as in `n_step_returns`. `λ = 1` gives the `n`-step return.

    Args:
      rewards: rewards `[..., S]` of the actions.
      discounts: environment's discounts `[..., S]` of the actions.
      mask: mask `[..., S]`, 1 for rows with an action.
      values: values `[..., S]` of the observations.
      n: number of rewards.
      discount: agent's discount per step, `γ`.
      td_lambda: mixing parameter `λ`.

    Returns:
      Returns `[..., S - n]`, undefined for rows after the end of the episode.
    """
    chex.assert_equal_shape([rewards, discounts, mask, values])
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


ReturnEstimator = Callable[[PerStep, PerStep, PerStep, PerStep, int, float, float], PerStep]
"""`(rewards, discounts, mask, values, n, discount, td_lambda) -> returns`.

Arguments and result are those of `td_lambda_returns`, as NumPy and as JAX arrays.
"""


def _n_step_estimator(
    rewards: PerStep,
    discounts: PerStep,
    mask: PerStep,
    values: PerStep,
    n: int,
    discount: float,
    td_lambda: float,
) -> PerStep:
    del td_lambda
    return n_step_returns(rewards, discounts, mask, values, n, discount)


RETURN_ESTIMATORS: Registry[ReturnEstimator] = Registry(
    "return estimator", {"td_lambda": td_lambda_returns, "n_step": _n_step_estimator}
)
"""Estimators of the value targets of planning agents."""


def retrace_returns(
    rewards: PerStep,
    discounts: PerStep,
    mask: PerStep,
    action_values: PerStep,
    values: PerStep,
    ratios: PerStep,
    retrace_lambda: float,
    discount: float,
) -> PerStep:
    """Computes off-policy returns by Retrace, up to the end of the window or of the episode.

    Munos et al. 2016 (arXiv:1606.02647), equation 4, with `c = λ min(1, π/μ)`:
    `G_t = r_{t+1} + γ (v_{t+1} - c_{t+1} q(s_{t+1}, a_{t+1}) + c_{t+1} G_{t+1})`; after the
    last row, and after the final observation of an episode, `c = 0`.

    Args:
      rewards: rewards `[..., S]` of the actions.
      discounts: environment's discounts `[..., S]` of the actions.
      mask: mask `[..., S]`, 1 for rows with an action.
      action_values: action values `[..., S]`, `q(s, a)` of the actions taken.
      values: state values `[..., S]`, `v(s)` of the observations.
      ratios: importance ratios `[..., S]`, `π(a | s) / μ(a | s)` of the actions taken.
      retrace_lambda: decay `λ` of the traces.
      discount: agent's discount per step, `γ`.

    Returns:
      Returns `[..., S - 1]`, undefined for rows after the end of the episode.
    """
    chex.assert_equal_shape([rewards, discounts, mask, action_values, values, ratios])
    traces = retrace_lambda * mask * ratios.clip(None, 1.0)
    follow = values[..., -1]
    reversed_returns = []
    for t in reversed(range(rewards.shape[-1] - 1)):
        current = rewards[..., t] + discount * discounts[..., t] * follow
        reversed_returns.append(current)
        follow = values[..., t] + traces[..., t] * (current - action_values[..., t])
    namespace = np if isinstance(rewards, np.ndarray) else jnp
    return namespace.stack(reversed_returns[::-1], axis=-1)


def generalized_advantages(
    rewards: PerStep,
    discounts: PerStep,
    mask: PerStep,
    values: PerStep,
    gae_lambda: float,
    discount: float,
) -> jax.Array:
    """Computes the generalised advantage estimates `[B, T]` of the steps of rollouts.

    Schulman et al. 2016 (arXiv:1506.02438), equations 11, 12 and 16:
    `δ_t = r_{t+1} + γ γ_{t+1} v_{t+1} - v_t` and `A_t = δ_t + γ γ_{t+1} λ A_{t+1}`. In a rollout
    episodes follow one another: the final observation of an episode is a row with `mask` 0,
    without an action, and the row after it is the first of the next episode:

        row         t     t+1    L     0     1     T
        mask        1     1      0     1     1
        discount    1    0 or 1        1     1
        value       v_t   v_t+1  v_L   v_0   v_1   v_T
        advantage         δ      0     δ + . .

    The advantage of the last step before a termination (discount 0) is `r - v`; before a
    truncation (discount 1) the value of the final observation is the bootstrap. No advantage
    passes from one episode to another.

    Args:
      rewards: `[B, T]` reward of each action.
      discounts: `[B, T]` environment's discount of each action; -1 where the turn passes to the
        opponent, whose value and advantage have the opposite sign.
      mask: `[B, T]` mask, 1 for rows with an action; 0 for final observations.
      values: `[B, T + 1]` value of each row's observation and of the observation after the last.
      gae_lambda: mixing parameter `λ`.
      discount: agent's discount per step, `γ`.
    """
    # Imported on use: rlax imports TensorFlow if it is installed, which takes seconds and 290 MB
    # in every process.
    import rlax

    chex.assert_rank(rewards, 2)
    chex.assert_equal_shape([rewards, discounts, mask, values[:, :-1]])
    # A final observation has the advantage v + 0 - v = 0 and passes none on.
    rewards = jnp.where(mask > 0, rewards, values[:, :-1])
    discounts = discount * discounts * mask
    estimate: Any = jax.vmap(rlax.truncated_generalized_advantage_estimation, (0, 0, None, 0))
    return estimate(rewards, discounts, gae_lambda, values)
