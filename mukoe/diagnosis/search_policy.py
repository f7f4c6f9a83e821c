"""Predictability of the search policy: noise of the values, or a signal for the prior."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mukoe.agents.extensions import Reanalyses
from mukoe.diagnosis.alignment import predict
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.types import Params, PolicyParams

_CHECK = "the search policy is predictable"
_SMALLEST = 1e-8
# Divergence from the prior, in entropies of the search policy, that counts as noise.
_SHARP = 1.5


def search_twice(subject: Subject, params: Params) -> list[dict[str, np.ndarray]] | None:
    """Searches the first state of each sequence under two random keys; None without a search.

    Returns:
      Search statistics `[B, ...]` by name, under either key.
    """
    builder = subject.experiment.builder
    if not isinstance(builder, Reanalyses) or "search_policy" not in subject.sample.rows.extras:
        return None
    history = builder.replay.history
    windows = jax.tree.map(lambda x: x[:, : history + 1], subject.sample.rows)
    reanalyse = jax.jit(builder.make_reanalyse(subject.networks, subject.environment_spec))
    policy_params = PolicyParams(params, np.int32(0))
    keys = (jax.random.PRNGKey(seed) for seed in range(2))
    return [jax.tree.map(np.asarray, reanalyse(policy_params, key, windows)) for key in keys]


def check_search_policy(
    subject: Subject,
    params: Params,
    trained: bool,
    searches: Sequence[Mapping[str, np.ndarray]] | None,
) -> Finding:
    """Compares the search policies of one batch under two random keys, and with the prior.

    A search whose outcome is decided by noise is sharp and differs from key to key, and from its
    own prior however long that is trained.

    Args:
      subject: agent under diagnosis.
      params: parameters of the search.
      trained: True if the parameters are those of a run, whose prior has seen search policies.
      searches: result of `search_twice`.
    """
    if searches is None:
        return Finding(_CHECK, "unknown", "the agent does not search")
    if "search_policy" not in searches[0]:
        return Finding(_CHECK, "unknown", "agent.reanalyse.search computes values only")
    if "search_candidates" in searches[0]:
        return Finding(_CHECK, "unknown", "every search draws its own candidates")
    first, second = (search["search_policy"] for search in searches)
    prior = np.asarray(jax.nn.softmax(predict(subject, params).policy_logits[:, 0]))
    entropy = float(np.mean(-np.sum(first * _log(first), axis=-1)))
    to_prior, to_other = _kl(first, prior), _kl(first, second)
    text = (
        f"entropy {entropy:.3g} nats, KL {to_prior:.3g} to the prior, {to_other:.3g} to a search "
        "with another key"
    )
    if trained and to_prior > max(_SHARP * entropy, 0.1):
        text += (
            ": sharp and not learned by the prior; set agent.search.q_normalization.scope=tree "
            "and a floor"
        )
        return Finding(_CHECK, "fault", text)
    return Finding(_CHECK, "ok" if trained else "unknown", text)


def _log(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, _SMALLEST))


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.mean(np.sum(p * (_log(p) - _log(q)), axis=-1)))
