"""Advantages of a rollout, in which episodes follow one another."""

import jax
import jax.numpy as jnp

from mukoe.types import Array


def generalized_advantages(
    rewards: Array,
    discounts: Array,
    mask: Array,
    values: Array,
    gae_lambda: float,
    discount: float,
) -> jax.Array:
    """Returns the generalised advantage estimates `[B, T]` of the steps of a rollout.

    Schulman et al. 2016 (arXiv:1506.02438), equations 11, 12 and 16:
    `δ_t = r_{t+1} + γ γ_{t+1} v_{t+1} - v_t` and `A_t = δ_t + γ γ_{t+1} λ A_{t+1}`. A rollout
    holds the final observation of an episode as a row with `mask` 0, at which nothing was
    done; the row after it is the first of the next episode:

        row         t     t+1    L     0     1     T
        mask        1     1      0     1     1
        discount    1    0 or 1        1     1
        value       v_t   v_t+1  v_L   v_0   v_1   v_T
        advantage         δ      0     δ + . .

    So the last step before a termination (discount 0) is worth its reward, that before a
    truncation (discount 1) is bootstrapped with the value of the final observation, and no
    advantage passes from one episode to another.

    Args:
      rewards: `[B, T]`, what the action of each row led to.
      discounts: `[B, T]`, the environment's discount that each action led to; -1 where the
        turn passes to the opponent, whose value and advantage count with the other sign.
      mask: `[B, T]`, 1 where an action was taken; 0 on final observations.
      values: `[B, T + 1]`, of the observation of each row and of the one behind the last.
      gae_lambda: `λ`.
      discount: the agent's discount per step, `γ`.
    """
    weights = discount * discounts
    errors = mask * (rewards + weights * values[:, 1:] - values[:, :-1])

    def back(following: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        error, weight = row
        advantage = error + weight * following
        return advantage, advantage

    rows = (errors.T, (gae_lambda * mask * weights).T)
    _, advantages = jax.lax.scan(back, jnp.zeros_like(values[:, 0]), rows, reverse=True)
    return advantages.T
