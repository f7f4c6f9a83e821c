"""Simulations per second of the search, against plain mctx and against the network alone.

python benchmarks/search.py

The limit is a plain jit of `mctx.muzero_policy` or `mctx.gumbel_muzero_policy` with the same
network, measured in turns with mukoe's. The limit of a search over `K` sampled candidates is the
search over `K` discrete actions with the same network below the policy head. All on one core, as
in an actor process, in seconds of that core.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx
import numpy as np
from absl import flags
from dm_env import specs
from measure import MEASURED_CORE, TINY, Report, Row, interleaved, prepare, seconds_per_call

from mukoe.agents.planning.deterministic_model.model import muzero_model
from mukoe.configuration import load_config_file, run_main
from mukoe.networks.history import input_spec
from mukoe.networks.models import make_muzero_networks
from mukoe.search.base import SearchModel
from mukoe.search.candidates import CandidateSampler, with_candidates
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan

ALL_SIZES = flags.DEFINE_bool("all_sizes", False, "Every batch size with every depth: minutes.")

BATCH_SIZES, SIMULATIONS = (1, 8, 32), (16, 25, 50)
CANDIDATES = (8, 16, 32)
CANDIDATE_DIMENSIONS = 2
TREE_SIZES = [(1, 50), (1, 200), (8, 50), (8, 100), (8, 200)]
NETWORKS = {"MLP": "configs/cartpole.py", "small Atari network": "benchmarks/gumbel_atari.py"}


class Problem(NamedTuple):
    """Search problem: a model, its parameters, and `make_inputs(batch_size)`."""

    model: SearchModel
    params: Any
    make_inputs: Callable[[int], jax.Array]


def config_problem(
    path: str, actions: specs.BoundedArray | None = None, search: SearchConfig | None = None
) -> Problem:
    """Returns the network of a config file, with random parameters and inputs.

    Args:
      path: config file.
      actions: actions of the problem; None for those of the config's environment.
      search: settings of a search over candidates; None for one over all actions.
    """
    config = load_config_file(path)
    environment = config.environment.make_factory()(0, 1, False)
    spec = environment.spec
    environment.close()
    spec = spec if actions is None else spec._replace(actions=actions)
    networks = make_muzero_networks(
        spec, config.agent.history, config.agent.network, search is not None
    )
    inputs = input_spec(spec.observations, config.agent.history)

    def make_inputs(batch_size: int) -> jax.Array:
        numbers = np.random.default_rng(0).uniform(0, 1, (batch_size, *inputs.shape))
        scale = 255 if inputs.dtype == np.uint8 else 1
        return jnp.asarray(numbers * scale, inputs.dtype)

    model = muzero_model(networks, spec, config.agent.discount)
    if search is not None:
        model = with_candidates(model, CandidateSampler(networks.action_space, search))
    return Problem(model, networks.init(jax.random.PRNGKey(0)), make_inputs)


def tiny_problem(num_actions: int = 2, width: int = 4) -> Problem:
    """Returns a model of one small matrix product, so that nearly all time is spent in the tree."""
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    move = jax.random.normal(keys[0], (width + num_actions, width))
    prior = jax.random.normal(keys[1], (width, num_actions))
    worth = jax.random.normal(keys[2], (width,))

    def root(params, state):
        del params
        return mctx.RootFnOutput(
            prior_logits=state @ prior, value=jnp.tanh(state @ worth), embedding=state
        )

    def recurrent(params, key, action, state):
        del key
        step = jnp.concatenate([state, jax.nn.one_hot(action, num_actions)], axis=-1)
        state = jnp.tanh(step @ move)
        at = root(params, state)
        output = mctx.RecurrentFnOutput(
            reward=state[:, 0] / 10,
            discount=jnp.full_like(at.value, 0.99),
            prior_logits=at.prior_logits,
            value=at.value,
        )
        return output, state

    def make_inputs(batch_size: int) -> jax.Array:
        return jax.random.normal(jax.random.PRNGKey(1), (batch_size, width))

    return Problem(SearchModel(root, recurrent), (), make_inputs)


def bare_search(config: SearchConfig, model: SearchModel) -> Callable:
    """Returns the search of mctx, without code of mukoe."""
    if config.algorithm == "muzero":
        policy = functools.partial(
            mctx.muzero_policy,
            dirichlet_alpha=config.dirichlet_alpha,
            dirichlet_fraction=config.dirichlet_fraction,
        )
    else:
        policy = functools.partial(
            mctx.gumbel_muzero_policy,
            max_num_considered_actions=config.max_num_considered_actions,
        )

    def search(params, key, inputs):
        root = model.root(params, inputs)
        output = policy(params, key, root, model.recurrent, config.num_simulations)
        return output.action, output.action_weights, output.search_tree.summary().value

    return search


def network_alone(config: SearchConfig, model: SearchModel) -> Callable:
    """Returns the model calls of a search in sequence, without the tree."""

    def run(params, key, inputs):
        root = model.root(params, inputs)

        def step(_, carry):
            logits, total, state = carry
            output, state = model.recurrent(params, key, jnp.argmax(logits, axis=-1), state)
            return output.prior_logits, total + output.value + output.reward, state

        carry = (root.prior_logits, root.value, root.embedding)
        return jax.lax.fori_loop(0, config.num_simulations, step, carry)[:2]

    return run


def our_search(config: SearchConfig, model: SearchModel) -> Callable:
    """Returns the search of mukoe."""

    def search(params, key, inputs):
        output, _ = plan(config, model, params, key, model.root(params, inputs), None, 0)
        return output

    return search


def measured_rates(
    sides: Mapping[str, tuple[Callable, Problem]], config: SearchConfig, batch: int
) -> Mapping[str, Sequence[float]]:
    """Returns simulations per second of each side, measured in turns.

    Args:
      sides: functions `(params, key, inputs)` and their problems, by name.
      config: settings of the search, for its simulations.
      batch: number of searches.
    """
    key, work = jax.random.PRNGKey(0), batch * config.num_simulations

    def make_rate(function: Callable, problem: Problem) -> Callable[[], float]:
        inputs, jitted = problem.make_inputs(batch), jax.jit(function)

        def call() -> None:
            jax.block_until_ready(jitted(problem.params, key, inputs))

        call()
        return lambda: work / seconds_per_call(call, clock=time.process_time)

    return interleaved({name: make_rate(*side) for name, side in sides.items()})


def measure(report: Report, name: str, problem: Problem, config: SearchConfig, batch: int) -> None:
    """Adds the row of one search."""
    sides = {
        "ours": (our_search(config, problem.model), problem),
        "bare": (bare_search(config, problem.model), problem),
        "network": (network_alone(config, problem.model), problem),
    }
    rates = measured_rates(sides, config, batch)
    share = np.median(1 - np.asarray(rates["ours"]) / np.asarray(rates["network"]))
    report.add(
        Row(
            "search",
            f"{config.algorithm}, {name}, {batch} x {config.num_simulations}",
            "simulations/s",
            rates["ours"],
            "bare mctx",
            rates["bare"],
            0.95,
            f"tree {max(share, 0):.0%} of the time",
        )
    )


def measure_candidates(report: Report, count: int, algorithm: str, batch: int, sims: int) -> None:
    """Adds the row of a search over candidates, beside one over as many discrete actions."""
    path = NETWORKS["MLP"]
    discrete = SearchConfig(algorithm=algorithm, num_simulations=sims)
    sampled = dataclasses.replace(discrete, num_candidates=count)
    numbers = specs.BoundedArray((CANDIDATE_DIMENSIONS,), np.float32, -1.0, 1.0)
    ours = config_problem(path, numbers, sampled)
    limit = config_problem(path, specs.DiscreteArray(count))
    sides = {
        "sampled": (our_search(sampled, ours.model), ours),
        "discrete": (our_search(discrete, limit.model), limit),
    }
    rates = measured_rates(sides, discrete, batch)
    report.add(
        Row(
            "search",
            f"{algorithm}, MLP, {count} candidates, {batch} x {sims}",
            "simulations/s",
            rates["sampled"],
            f"{count} actions",
            rates["discrete"],
            note=f"candidates of {CANDIDATE_DIMENSIONS} numbers",
        )
    )


def sizes() -> list[tuple[int, int]]:
    """Returns pairs of batch size and simulations; by default one of them varies at a time."""
    if TINY.value:
        return [(2, 4)]
    every = [(batch, simulations) for batch in BATCH_SIZES for simulations in SIMULATIONS]
    return every if ALL_SIZES.value else [(b, n) for b, n in every if b == 8 or n == 25]


def main() -> None:
    prepare(MEASURED_CORE)
    report = Report()
    # The smallest of it still runs both algorithms.
    networks = {"MLP": NETWORKS["MLP"]} if TINY.value else NETWORKS
    for name, path in networks.items():
        problem = config_problem(path)
        for algorithm in ("muzero",) if TINY.value else ("muzero", "gumbel"):
            for batch, simulations in sizes():
                config = SearchConfig(algorithm=algorithm, num_simulations=simulations)
                measure(report, name, problem, config, batch)
    for algorithm in ("gumbel",) if TINY.value else ("muzero", "gumbel"):
        for count in CANDIDATES[:1] if TINY.value else CANDIDATES:
            measure_candidates(report, count, algorithm, *((2, 4) if TINY.value else (8, 25)))
    problem = tiny_problem()
    for algorithm in ("gumbel",) if TINY.value else ("muzero", "gumbel"):
        for batch, simulations in [(8, 4)] if TINY.value else TREE_SIZES:
            config = SearchConfig(algorithm=algorithm, num_simulations=simulations)
            measure(report, "next to no network", problem, config, batch)
    report.close()


if __name__ == "__main__":
    run_main(main)
