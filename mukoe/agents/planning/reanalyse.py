"""Search statistics of stored rows with other parameters (arXiv:1911.08265, appendix H)."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.agents.planning.config import PlanningConfig, leading_rows
from mukoe.agents.planning.root import POSITION, RootNetworks
from mukoe.agents.planning.targets import encoded_root_inputs, sample_ages, windows_at
from mukoe.learning.reanalysis import Reanalyse, change_metrics
from mukoe.nests import take
from mukoe.search.base import SearchModel
from mukoe.search.plan import plan
from mukoe.search.players import turn_of
from mukoe.types import (
    Array,
    LossExtra,
    LossFunction,
    Nest,
    Params,
    PolicyParams,
    Row,
    Sample,
    SearchStatistics,
    split_legal_actions,
)


def make_reanalyse(networks: RootNetworks, model: SearchModel, config: PlanningConfig) -> Reanalyse:
    """Makes the function that computes the search statistics of stored rows.

    The search is that of the behaviour policy, from the same network inputs. The stored action is
    among its candidates, since its outcome is known (MuZero Unplugged, arXiv:2104.06294).

    Args:
      networks: networks of the agent.
      model: model of the search.
      config: configuration of the agent; `reanalyse.search` selects the statistics.
    """

    def reanalyse(params: PolicyParams, key: chex.PRNGKey, windows: Row) -> dict[str, Array]:
        inputs = encoded_root_inputs(networks, config, params.network, windows, model.memory)
        position = None if model.position is None else windows.extras[POSITION][:, -1]
        last = take(windows.observation, slice(None), -1)
        root = model.evaluate_root(params.network, inputs, position, turn_of(last))
        if config.reanalyse.search == "values":
            return SearchStatistics(None, root.value).to_extras()
        _, legal_actions = split_legal_actions(last)
        output, _ = plan(
            config.search,
            model,
            params.network,
            key,
            root,
            legal_actions,
            params.learner_steps,
            taken=windows.action[:, -1],
        )
        return output.stored.to_extras()

    return reanalyse


def with_reanalysis(
    loss: LossFunction, reanalyse: Reanalyse, config: PlanningConfig
) -> LossFunction:
    """Returns a loss whose samples have new statistics of the target parameters.

    Args:
      loss: loss of stored statistics.
      reanalyse: function of the new statistics.
      config: configuration of the agent; `reanalyse.fraction` selects the samples.
    """

    def renewed_loss(
        params: Params, target_params: Params, sample: Sample, key: chex.PRNGKey, *state: Nest
    ) -> tuple[Array, LossExtra]:
        policy_params = PolicyParams(target_params, jnp.int32(0))
        key, search_key = jax.random.split(key)
        fraction = config.reanalyse.fraction
        sample, metrics = renew(reanalyse, config, fraction, policy_params, sample, search_key)
        total, extra = loss(params, target_params, sample, key, *state)
        return total, extra._replace(metrics={**extra.metrics, **metrics})

    return renewed_loss


def renew(
    reanalyse: Reanalyse,
    config: PlanningConfig,
    fraction: float,
    params: PolicyParams,
    sample: Sample,
    key: chex.PRNGKey,
) -> tuple[Sample, dict[str, Array]]:
    """Replaces the statistics of the first samples of a batch, in one batched search.

    Args:
      reanalyse: function of the new statistics.
      config: configuration of the agent.
      fraction: fraction of the batch.
      params: parameters of the search.
      sample: batch of rows with history and all observations.
      key: random key of the search.

    Returns:
      The sample with the statistics of all states whose policy or value the targets read, and
      metrics of their change; `reanalysed_states`, the searches of the batch; and
      `reanalysed_per_step`, the searches per stored step of an actor, if the number of samples per
      step is set.
    """
    batch_size, first = len(sample.probabilities), leading_rows(config)
    count = round(fraction * batch_size)
    if count == 0:
        return sample, {}
    rows = jax.tree.map(lambda array: array[:count], sample.rows)
    ages = sample_ages(config, sample)
    steps = config.targets.steps_at(None if ages is None else ages[:count])
    states = _read_states(config, rows.mask[:, first:], steps)
    windows = windows_at(rows, states, first + 1)
    statistics = jax.lax.stop_gradient(reanalyse(params, key, windows))
    samples = np.arange(count)[:, None]

    def write(stored: Array, new: Array) -> Array:
        values = new.reshape((*states.shape, *new.shape[1:]))
        return jnp.asarray(stored).at[samples, first + states].set(values)

    extras = {name: write(sample.rows.extras[name], new) for name, new in statistics.items()}
    metrics = change_metrics(windows, statistics)
    metrics["reanalysed_states"] = jnp.float32(states.size)
    if config.replay.samples_per_insert is not None:
        per_step = _sequences_per_step(config, config.replay.samples_per_insert)
        metrics["reanalysed_per_step"] = jnp.float32(per_step * states.shape[1])
    rows = sample.rows._replace(extras={**sample.rows.extras, **extras})
    return sample._replace(rows=rows), metrics


def _sequences_per_step(config: PlanningConfig, samples_per_insert: float) -> float:
    """Returns the number of sequences that are searched per stored step of an actor."""
    replay = config.replay
    searched = round(config.reanalyse.fraction * replay.batch_size)
    demonstrated = round(replay.demonstration_fraction * replay.batch_size)
    return samples_per_insert * searched / (replay.batch_size - demonstrated)


def _read_states(config: PlanningConfig, mask: Array, steps: Array | None) -> Array:
    """Returns the indices `[B, M]` of the states whose statistics the targets read.

    These are the `K + 1` states of the unroll and, unless the target network's values are the
    bootstraps, the states that are bootstrapped from; all states where these are as many.
    """
    batch_size, length = mask.shape
    every = jnp.broadcast_to(jnp.arange(length), (batch_size, length))
    unrolled = every[:, : config.targets.unroll_steps + 1]
    if config.targets.bootstrap == "target":
        return unrolled
    states = jnp.concatenate([unrolled, config.targets.bootstrap_states(mask, steps)], axis=1)
    return states if states.shape[1] < length else every
