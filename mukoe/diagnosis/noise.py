"""Share of states in which noise of the values decides the policy target.

Q normalisation stretches the values of one search to [0, 1]. Where all actions are worth the same,
it stretches their errors, and the search policy departs from its prior for no reason.
"""

import jax
import numpy as np

from mukoe.agents.extensions import Inspectable
from mukoe.diagnosis.divergence import kl
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import NO_POSITIONS, Subject, lacks_positions, root_observations
from mukoe.diagnosis.targets import episode_returns
from mukoe.types import Params, PolicyParams

_CHECK = "values, not noise, decide the search"
_SMALLEST = 1e-8
# KL to the prior, in nats, from which on a search policy departs from it.
_DEPARTS = 0.5
# Spread of the root's action values over that of values between states, below which it is noise.
_NOISE = 0.01
_MOST_STATES = 0.2


def check_noise(subject: Subject, params: Params, trained: bool, discount: float) -> Finding:
    """Compares the KL of search policies to their priors with the spread of the action values.

    The searches are those of an episode's first step, without past frames.

    Args:
      subject: agent under diagnosis.
      params: parameters of the search.
      trained: True if the parameters are those of a run, whose values have been learned.
      discount: discount per step.
    """
    builder = subject.experiment.builder
    inspector = None
    if isinstance(builder, Inspectable):
        inspector = builder.make_inspector(subject.networks, subject.environment_spec)
    if inspector is None:
        return Finding(_CHECK, "unknown", "the agent does not search")
    if lacks_positions(subject):
        return Finding(_CHECK, "unknown", NO_POSITIONS)
    observation = root_observations(subject)
    state = inspector.initial_state(len(subject.sample.rows.mask))
    key = jax.random.PRNGKey(0)
    policy_params = PolicyParams(params, np.int32(0))
    output, tree, _ = jax.jit(inspector.inspect)(policy_params, key, observation, state)
    if output.candidates is not None:
        return Finding(_CHECK, "unknown", "every search draws its own candidates")
    policy = np.asarray(output.search_policy)
    actions = policy.shape[-1]
    root = np.zeros(len(policy), np.int32)
    visits = np.asarray(tree.children_visits)[:, 0, :actions]
    values = np.asarray(tree.qvalues(root))[:, :actions]
    logits = np.asarray(tree.children_prior_logits)[:, 0, :actions]
    returns = episode_returns(subject, discount)
    scale = max(float(np.std(output.search_value)), float(np.std(returns)) if returns.size else 0.0)
    prior = np.asarray(jax.nn.softmax(logits))
    return judge_noise(kl(policy, prior, _SMALLEST), _spread(values, visits), scale, trained)


def judge_noise(divergence: np.ndarray, spread: np.ndarray, scale: float, trained: bool) -> Finding:
    """Judges states by the KL to the prior and the spread of the action values.

    Args:
      divergence: `[B]` KL of the search policy to its prior, in nats.
      spread: `[B]` range of the values of the visited actions; NaN where fewer than two are.
      scale: standard deviation of values or returns between states.
      trained: True if the values have been learned.
    """
    judged = np.isfinite(spread)
    if scale <= 0 or not judged.any():
        return Finding(_CHECK, "unknown", "values are the same everywhere")
    divergence, spread = divergence[judged], spread[judged]
    noisy = (divergence > _DEPARTS) & (spread < _NOISE * scale)
    share = float(noisy.mean())
    table = [["quantile", "KL to the prior", "spread of action values"]]
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        row = (np.quantile(divergence, quantile), np.quantile(spread, quantile))
        table.append([f"{quantile:.0%}", *(f"{value:.3g}" for value in row)])
    text = (
        f"in {share:.0%} of {len(spread)} states the search policy departs by over {_DEPARTS} "
        f"nats, though action values differ by under {_NOISE:.0%} of {scale:.3g}, their spread "
        "between states"
    )
    curve = np.sort(spread / scale).tolist()
    if trained and share > _MOST_STATES:
        text += ": set agent.search.q_normalization.scope=tree and a floor above that noise"
        return Finding(_CHECK, "fault", text, table, curve)
    return Finding(_CHECK, "ok" if trained else "unknown", text, table, curve)


def _spread(values: np.ndarray, visits: np.ndarray) -> np.ndarray:
    visited = visits > 0
    high = np.max(np.where(visited, values, -np.inf), axis=-1)
    low = np.min(np.where(visited, values, np.inf), axis=-1)
    return np.where(visited.sum(-1) >= 2, high - low, np.nan)
