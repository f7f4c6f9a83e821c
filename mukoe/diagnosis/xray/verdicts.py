"""Verdicts on the model and the values of a trained agent."""

import numpy as np

from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.targets import support_finding
from mukoe.diagnosis.xray.model_error import Unrolled
from mukoe.diagnosis.xray.trajectories import Trajectories

# Another hypothesis has to be better than the right one by this factor.
_MARGIN = 0.75
_LEAST = 32


def judge_xray(
    own: Trajectories,
    random: Trajectories,
    unrolls: list[Unrolled],
    agent: object,
    two_players: bool,
) -> list[Finding]:
    """Returns the verdicts.

    Args:
      own: steps of the agent's own actions.
      random: steps of random actions.
      unrolls: unrolls of the model along them.
      agent: configuration of the agent.
      two_players: True if the players take turns.
    """
    discount = float(getattr(agent, "discount", 1.0))
    both = (own, random)
    complete = [trajectories.complete() for trajectories in both]
    returns = [t.returns(discount)[steps] for t, steps in zip(both, complete, strict=True)]
    rewards = [t.reward[t.acted] for t in both]
    return [
        support_finding(agent, np.concatenate(rewards), np.concatenate(returns)),
        judge_rewards(unrolls),
        judge_values(own, discount, two_players),
    ]


def judge_rewards(unrolls: list[Unrolled]) -> Finding:
    """Compares predicted rewards with those of the action, of the one before and of the next."""
    check = "rewards at the right step"
    if not unrolls or not unrolls[0].rewards.size:
        return Finding(check, "unknown", "the model has no learned rewards")
    predicted, true, before, after = (
        np.concatenate([getattr(u, name).ravel() for u in unrolls])
        for name in ("rewards", "true_rewards", "rewards_before", "rewards_after")
    )
    others = {"the action before": before, "the action after": after}
    return _compare(check, "rewards of", "the action", predicted, true, others)


def judge_values(own: Trajectories, discount: float, two_players: bool) -> Finding:
    """Compares the network's values with returns, of the right and of other signs."""
    check, steps = "values with the right sign", own.complete()
    values, returns = own.search["root_value"][steps], own.returns(discount)[steps]
    others = {"returns of the opposite sign": -returns}
    if two_players:
        others["returns of one player"] = own.returns(discount, turns=False)[steps]
    return _compare(check, "", "discounted returns", values, returns, others)


def _compare(
    check: str,
    noun: str,
    right: str,
    predicted: np.ndarray,
    target: np.ndarray,
    others: dict[str, np.ndarray],
) -> Finding:
    if len(target) < _LEAST or np.ptp(target) < 1e-6:
        return Finding(check, "unknown", "the recorded targets are too few, or all equal")
    error = float(np.mean(np.abs(predicted - target)))
    errors = {name: float(np.mean(np.abs(predicted - other))) for name, other in others.items()}
    constant = float(np.mean(np.abs(target - np.median(target))))
    best = min(errors, key=lambda name: errors[name])
    if errors[best] < _MARGIN * error:
        text = (
            f"the predictions are those of {noun} {best}: mean absolute difference "
            f"{errors[best]:.3g}, and {error:.3g} from {right}"
        )
        return Finding(check, "fault", " ".join(text.split()))
    text = f"mean absolute error {error:.3g}, of a constant {constant:.3g}"
    return Finding(check, "ok" if error < constant else "unknown", text)
