"""Verdicts on the model and the values of a trained agent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mukoe.diagnosis.divergence import kl, uniform_policy
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.noise import judge_noise
from mukoe.diagnosis.search_consistency import (
    judge_backup,
    judge_discounts,
    judge_inputs,
    judge_legal,
)
from mukoe.diagnosis.targets import support_finding
from mukoe.diagnosis.xray.model_error import Unrolled
from mukoe.diagnosis.xray.rare_rewards import RareRewards, is_foreseen
from mukoe.diagnosis.xray.results import estimate, estimate_of_groups
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.types import split_legal_actions

# Another hypothesis has to be better than the right one by this factor.
_MARGIN = 0.75
_LEAST = 32
_SMALLEST = 1e-6
_GAIN = "the search does not lose return"
# Spread of predictions over that of their targets, below which nothing is learned.
_SAME = 0.01
# Divergence of the search policy from a uniform one, in nats, from which on it can be learned.
_SHARP = 0.05
# Rare rewards for a verdict, and share of them that the model has to foresee.
_LEAST_REWARDS, _LEAST_SEEN = 20, 0.1


def judge_xray(
    own: Trajectories,
    random: Trajectories,
    unrolls: list[Unrolled],
    rare: Sequence[RareRewards | None],
    agent: object,
    two_players: bool,
) -> list[Finding]:
    """Returns the verdicts.

    Args:
      own: steps of the agent's own actions.
      random: steps of random actions.
      unrolls: unrolls of the model along them.
      rare: rare rewards of both, each None without unrolls.
      agent: configuration of the agent.
      two_players: True if the players take turns.
    """
    discount = float(getattr(agent, "discount", 1.0))
    both = (own, random)
    complete = [trajectories.complete() for trajectories in both]
    returns = [t.returns(discount)[steps] for t, steps in zip(both, complete, strict=True)]
    rewards = [t.reward[t.acted] for t in both]
    scale = max(float(np.std(own.search["search_value"])), float(np.std(returns[0])))
    nats, spread = (own.search[k][own.acted] for k in ("search_prior_kl", "action_spread"))
    return [
        support_finding(agent, np.concatenate(rewards), np.concatenate(returns)),
        judge_rewards(unrolls),
        judge_values(own, discount, two_players),
        judge_ends(unrolls),
        judge_actions(unrolls),
        judge_prior(own),
        judge_noise(nats, spread, scale, True),
        *judge_searches(both, unrolls, discount),
        judge_rare_rewards(rare),
    ]


def judge_searches(
    recorded: Sequence[Trajectories], unrolls: Sequence[Unrolled], discount: float
) -> list[Finding]:
    """Returns the findings on what is equal up to rounding in a sound agent.

    Args:
      recorded: steps of any actions.
      unrolls: unrolls of the model along them; empty without one.
      discount: discount per step of the agent.
    """

    def of(name: str) -> np.ndarray:
        arrays = (each.search[name] for each in recorded)
        return np.concatenate([array.reshape(-1, *array.shape[2:]) for array in arrays])

    masks: list[Any] = [split_legal_actions(each.observation)[1] for each in recorded]
    legal = None
    if all(mask is not None for mask in masks):
        legal = np.concatenate([mask.reshape(-1, mask.shape[-1]) for mask in masks])
    findings = [
        judge_legal(of("search_policy"), of("visits"), legal),
        judge_backup(of("tree_value"), of("backup"), float(np.std(of("tree_value")))),
    ]
    if unrolls:
        pairs = [(u.discounts.ravel(), u.true_discounts.ravel()) for u in unrolls]
        predicted, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
        values = [(u.direct_values[:, 0], u.values[:, 0]) for u in unrolls]
        acting, learning = (np.concatenate(part) for part in zip(*values, strict=True))
        findings += [judge_discounts(predicted, true, discount), judge_inputs(acting, learning)]
    return findings


def judge_ends(unrolls: Sequence[Unrolled]) -> Finding:
    """Compares the model's values behind a termination with 0, as the search reads them."""
    check = "the end of an episode is worth 0"
    ends = np.concatenate([u.end_values for u in unrolls]) if unrolls else np.zeros(0)
    if len(ends) < _LEAST:
        return Finding(check, "unknown", "no unroll goes beyond an end")
    there = float(np.mean(np.abs(ends)))
    elsewhere = float(np.mean([np.mean(np.abs(u.direct_values)) for u in unrolls]))
    text = f"mean absolute value {there:.3g} behind the end, {elsewhere:.3g} before"
    if elsewhere < _SMALLEST:
        return Finding(check, "unknown", f"{text}: all values are 0")
    return Finding(check, "fault" if there > _MARGIN * elsewhere else "ok", text)


def judge_actions(unrolls: Sequence[Unrolled]) -> Finding:
    """Compares the errors of the model along the actions taken and along those of other steps."""
    check = "the model follows the actions"
    if not unrolls or not unrolls[0].gains:
        return Finding(check, "unknown", "the agent has no learned model that can be unrolled")
    streams = np.concatenate([u.stream for u in unrolls])
    parts = []
    for name in unrolls[0].gains:
        gain = estimate_of_groups(np.concatenate([u.gains[name] for u in unrolls]), streams)
        if gain.low > 0:
            text = f"other actions raise the error of the {name} by {gain}"
            return Finding(check, "ok", text)
        parts.append(f"{name} {gain}")
    text = f"other actions do not raise its errors beyond chance: {', '.join(parts)}"
    helps = any(float(gains.mean()) > 0 for u in unrolls for gains in u.gains.values())
    return Finding(check, "unknown" if helps else "fault", text)


def judge_prior(own: Trajectories) -> Finding:
    """Compares the search policy's divergence from the prior with that from other policies."""
    check, steps = "the prior has learned the search policy", own.acted
    policy, prior = own.search["search_policy"], own.search["prior"]
    legal = split_legal_actions(own.observation)[1]
    legal = np.ones(policy.shape, bool) if legal is None else np.asarray(legal)
    if legal.shape != policy.shape or policy.shape[-1] < 2:
        return Finding(check, "unknown", "every search draws its own candidates")
    others = (prior, uniform_policy(legal))
    to_prior, to_uniform = (kl(policy, other, 1e-8)[steps] for other in others)
    text = f"KL {to_prior.mean():.3g} nats to the prior, {to_uniform.mean():.3g} to a uniform one"
    if to_uniform.mean() < _SHARP:
        return Finding(check, "unknown", f"{text}: the search policy is uniform")
    if kl(prior, others[1], 1e-8)[steps].mean() < _SAME * to_uniform.mean():
        text += ": the prior itself is uniform, as with a policy head without active units"
        return Finding(check, "fault", text)
    if estimate_of_groups(to_prior - to_uniform, own.streams[steps]).low > 0:
        text += ": the policy learns other targets, or those of other steps"
        return Finding(check, "fault", text)
    return Finding(check, "ok", text)


def judge_gain(prior: np.ndarray, searched: np.ndarray) -> Finding:
    """Compares the returns `[N]` of paired episodes without a search and with that of the run."""
    gain = estimate(searched - prior)
    text = f"gain in return over the mode of the prior {gain}"
    if gain.high < 0:
        text += ": model, values or signs of the search are wrong"
        return Finding(_GAIN, "fault", text)
    return Finding(_GAIN, "ok", text)


def judge_rewards(unrolls: list[Unrolled]) -> Finding:
    """Compares predicted rewards with those of the action, of the one before and of the next."""
    check = "rewards at the right step"
    if not unrolls or not unrolls[0].rewards.size:
        return Finding(check, "unknown", "the model has no learned rewards")
    predicted, true, before, after = (
        np.concatenate([getattr(u, name).ravel() for u in unrolls])
        for name in ("rewards", "true_rewards", "rewards_before", "rewards_after")
    )
    # Behind an end the reward is 0, and that of the action before the one that ended.
    ends, last = (
        np.concatenate([getattr(u, name) for u in unrolls])
        for name in ("end_rewards", "last_rewards")
    )
    zeros = np.zeros(len(ends))
    predicted, before = np.append(predicted, ends), np.append(before, last)
    true, after = np.append(true, zeros), np.append(after, zeros)
    others = {"the action before": before, "the action after": after}
    return _compare(
        check, "rewards of", "those of the action", predicted, true, others, varied=True
    )


def judge_rare_rewards(recorded: Sequence[RareRewards | None]) -> Finding:
    """Judges whether the model foresees rare rewards one action ahead.

    Args:
      recorded: rare rewards of several recordings, each None without unrolls.
    """
    check = "rare rewards are foreseen"
    seen = [is_foreseen(each)[np.isfinite(each.predicted[:, 0]), 0] for each in recorded if each]
    flat = np.concatenate(seen) if seen else np.zeros(0)
    if len(flat) < _LEAST_REWARDS:
        text = f"{len(flat)} rare rewards have a prediction; a verdict needs {_LEAST_REWARDS}"
        return Finding(check, "unknown", text)
    text = f"one action ahead the model foresees {flat.mean():.0%} of {len(flat)} rare rewards"
    if flat.mean() >= _LEAST_SEEN:
        return Finding(check, "ok", text)
    remedy = "more updates, a torso with convolutions, or a larger agent.loss.reward_weight"
    return Finding(check, "fault", f"{text}, so that the search has none to find: try {remedy}")


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
    varied: bool = False,
) -> Finding:
    """Judges predictions `[N]` beside their targets `[N]` and beside other ones, by name.

    A prediction of nearly one number is near to any target that is nearly constant: with `varied`,
    the finding says so, and predictions that explain the right target are no fault.
    """
    if len(target) < _LEAST or np.ptp(target) < 1e-6:
        return Finding(check, "unknown", "the recorded targets are too few, or all equal")
    error = float(np.mean(np.abs(predicted - target)))
    errors = {name: float(np.mean(np.abs(predicted - other))) for name, other in others.items()}
    explained = 1.0 - float(np.mean(np.square(predicted - target)) / np.var(target))
    best = min(errors, key=lambda name: errors[name])
    spread = float(np.mean(np.abs(others[best] - np.median(others[best]))))
    if errors[best] < _MARGIN * error and (not varied or explained <= 0):
        nothing = ", or nothing is learned" if varied and errors[best] >= _MARGIN * spread else ""
        text = (
            f"the predictions are those of {noun} {best}{nothing}: mean absolute difference "
            f"{errors[best]:.3g}, and {error:.3g} from {right}"
        )
        return Finding(check, "fault", " ".join(text.split()))
    if np.std(predicted) < _SAME * np.std(target):
        text = (
            f"the predictions are nearly the same everywhere, and {right} are not: none is learned"
        )
        return Finding(check, "fault", text)
    text = f"mean absolute error {error:.3g}, {100 * explained:.0f}% of the variance explained"
    return Finding(check, "ok" if explained > 0 else "unknown", text)
