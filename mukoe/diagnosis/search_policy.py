"""Predictability of the search policy: noise of the values, or a signal for the prior."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mukoe.agents.extensions import Reanalyses
from mukoe.diagnosis.alignment import predict
from mukoe.diagnosis.divergence import kl, uniform_policy
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import NO_POSITIONS, Subject, lacks_positions
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.types import Params, PolicyParams, split_legal_actions

_CHECK = "the search policy is predictable"
_SMALLEST = 1e-8
# Divergence from the prior, in entropies of the search policy, that counts as noise.
_SHARP = 1.5
# Divergence from the prior, over that from a uniform policy, that is not learned; both without
# that from the mean over random keys, which no prior can learn.
_UNLEARNED = 0.4
# Divergence from the prior, in nats, that matters.
_LEAST = 0.1


_NUM_KEYS = 8


def search_by_keys(
    subject: Subject, agent: Any, params: Params
) -> list[dict[str, np.ndarray]] | None:
    """Searches the first state of each sequence under eight random keys.

    None if the agent does not search, or searches the rules and its rows hold no true states.

    Args:
      subject: agent under diagnosis.
      agent: configuration of the agent; every search is full, even if reanalysis is of values only.
      params: parameters of the search.

    Returns:
      Search statistics `[B, ...]` by name, under each key.
    """
    builder = subject.experiment.builder
    if not isinstance(builder, Reanalyses) or "search_policy" not in subject.sample.rows.extras:
        return None
    if lacks_positions(subject):
        return None
    if _renews_values_only(agent):
        full = dataclasses.replace(agent.reanalyse, search="full")
        builder = dataclasses.replace(agent, reanalyse=full).make_builder()
    return _renew(subject, builder, params, _NUM_KEYS)


def newest_statistics(
    subject: Subject,
    agent: Any,
    params: Params,
    searches: Sequence[dict[str, np.ndarray]] | None,
) -> dict[str, np.ndarray] | None:
    """Returns what a reanalysis stores for the first state of each sequence; None without a search.

    Args:
      subject: agent under diagnosis.
      agent: configuration of the agent.
      params: parameters of the search.
      searches: result of `search_by_keys`.
    """
    builder = subject.experiment.builder
    if searches is None or not isinstance(builder, Reanalyses):
        return None
    if _renews_values_only(agent):
        return _renew(subject, builder, params, num_keys=1)[0]
    return searches[0]


def _renews_values_only(agent: Any) -> bool:
    reanalyse = getattr(agent, "reanalyse", None)
    return isinstance(reanalyse, ReanalyseConfig) and reanalyse.search == "values"


def _renew(
    subject: Subject, builder: Reanalyses, params: Params, num_keys: int
) -> list[dict[str, np.ndarray]]:
    """Reanalyses the first state of each sequence under several random keys."""
    history = subject.experiment.builder.replay.history
    windows = jax.tree.map(lambda x: x[:, : history + 1], subject.sample.rows)
    reanalyse = jax.jit(builder.make_reanalyse(subject.networks, subject.environment_spec))
    policy_params = PolicyParams(params, np.int32(0))
    keys = (jax.random.PRNGKey(seed) for seed in range(num_keys))
    return [jax.tree.map(np.asarray, reanalyse(policy_params, key, windows)) for key in keys]


def check_search_policy(
    subject: Subject,
    params: Params,
    trained: bool,
    searches: Sequence[Mapping[str, np.ndarray]] | None,
) -> Finding:
    """Compares the search policies of one batch under several random keys with the prior.

    A search whose outcome is decided by noise of the values is sharp, and differs from its own
    prior however long that is trained.

    Args:
      subject: agent under diagnosis.
      params: parameters of the search.
      trained: True if the parameters are those of a run, whose prior has seen search policies.
      searches: result of `search_by_keys`.
    """
    if searches is None:
        text = NO_POSITIONS if lacks_positions(subject) else "the agent does not search"
        return Finding(_CHECK, "unknown", text)
    if "search_policy" not in searches[0]:
        return Finding(_CHECK, "unknown", "the agent's reanalysis computes values only")
    if "search_candidates" in searches[0]:
        return Finding(_CHECK, "unknown", "every search draws its own candidates")
    policies = [search["search_policy"] for search in searches]
    prior = np.asarray(jax.nn.softmax(predict(subject, params).policy_logits[:, 0]))
    first = subject.experiment.builder.replay.history
    legal = split_legal_actions(subject.sample.rows.observation)[1]
    legal = np.ones(prior.shape, bool) if legal is None else np.asarray(legal)[:, first]
    return judge_search_policy(policies, prior, legal, trained)


def judge_search_policy(
    policies: Sequence[np.ndarray], prior: np.ndarray, legal: np.ndarray, trained: bool
) -> Finding:
    """Judges how much of the search policies their prior has learned.

    Where several actions are equally good, searches differ from key to key without harm. A prior
    can learn the mean of their policies, so that the divergence from this mean does not count.

    Args:
      policies: search policies `[B, A]` under each key.
      prior: `[B, A]` policies of the network.
      legal: `[B, A]` bool; legal actions.
      trained: True if the prior has seen search policies.
    """
    searched = np.stack(policies)
    entropy = float(np.mean(-np.sum(searched * np.log(np.maximum(searched, _SMALLEST)), axis=-1)))
    to_prior, to_uniform, to_mean = (
        float(np.mean(kl(searched, other, _SMALLEST)))
        for other in (prior, uniform_policy(legal), searched.mean(axis=0))
    )
    text = (
        f"entropy {entropy:.3g} nats, KL {to_prior:.3g} to the prior, {to_uniform:.3g} to a "
        f"uniform policy, {to_mean:.3g} to the mean over {len(searched)} keys"
    )
    unlearned, learnable = to_prior - to_mean, to_uniform - to_mean
    if trained and unlearned > max(_SHARP * entropy, _UNLEARNED * learnable, _LEAST):
        text += (
            ": sharp and not learned by the prior; set agent.search.q_normalization.scope=tree "
            "and a floor"
        )
        return Finding(_CHECK, "fault", text)
    return Finding(_CHECK, "ok" if trained else "unknown", text)
