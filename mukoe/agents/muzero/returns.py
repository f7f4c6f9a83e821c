"""Value targets as the config asks for them."""

from mukoe.learning.targets import n_step_returns
from mukoe.types import Array


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
    episode is what `mukoe.learning.targets.n_step_returns` says: nothing after a termination,
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
