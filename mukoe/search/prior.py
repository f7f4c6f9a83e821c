"""Acting by the prior alone, without simulations."""

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.search.base import SearchOutput
from mukoe.search.config import SearchConfig
from mukoe.search.statistics import policy_statistics
from mukoe.search.temperature import sample_action, scheduled_temperature


def act_by_prior(
    config: SearchConfig,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    learner_steps: chex.Numeric,
    *,
    evaluation: bool,
) -> SearchOutput:
    """Samples from the prior at the scheduled temperature; in evaluation takes its mode.

    The search policy is the prior, and the search value that of the network.

    Args:
      config: search settings.
      key: random key.
      root: prior logits `[B, A]`, lowest on illegal actions; value `[B]`,
        or `[B, P]` of several players.
      learner_steps: `[]` learner step of the parameters.
      evaluation: no exploration.
    """
    prior = jax.nn.softmax(root.prior_logits)
    if evaluation:
        action = jnp.argmax(prior, axis=-1)
    else:
        temperature = scheduled_temperature(config.temperature_schedule, learner_steps)
        action = sample_action(key, prior, temperature)
    no_depth = jnp.zeros(prior.shape[:1], prior.dtype)
    depths = {"search_depth_max": no_depth, "search_depth_mean": no_depth}
    return SearchOutput(
        action=action.astype(jnp.int32),
        search_policy=prior,
        search_value=root.value,
        statistics=policy_statistics(prior, prior) | depths,
    )
