"""Cost of a step of the transformer memory, and of the search by its dynamics.

python benchmarks/networks.py

The step of the memory is that of an actor: states are reset where episodes start, and one token is
encoded with the cached keys and values. Its limit is the step with the shortest window. Without
the cache every step encodes the whole window anew. The limit of the search is that with residual
dynamics of the same width. All sides of a table are measured in turns in one process on one core,
in seconds of that core.
"""

import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs
from measure import MEASURED_CORE, TINY, Report, Row, interleaved, prepare, seconds_per_call
from search import Problem, measured_rates, our_search

from mukoe.agents.planning.deterministic_model.model import muzero_model
from mukoe.configuration import run_main
from mukoe.nests import tree_where
from mukoe.networks.config import NetworkConfig
from mukoe.networks.dynamics import DYNAMICS
from mukoe.networks.history import HistoryConfig
from mukoe.networks.memory import InputMemory, MemoryConfig, make_memory
from mukoe.networks.models import make_muzero_networks
from mukoe.search.config import SearchConfig
from mukoe.types import EnvironmentSpec

WINDOWS = (16, 32, 64, 128)
NUM_ENVS = (1, 8)
OBSERVATION = specs.Array((16,), np.float32)
MEMORY = MemoryConfig(core="transformer", size=128, blocks=2, heads=2)

NUM_ACTIONS, WIDTH = 4, 64
STATES = {"vector": ("mlp", (16,)), "6x7 board": ("board", (6, 7, 2))}
"""Torso and shape of the observations, by the state of the model."""
SEARCH = SearchConfig(algorithm="gumbel", num_simulations=25)
BATCH_SIZE, REPEATS = 8, 9
CACHED, ANEW = "cached keys", "whole window"


def cached_step(memory: InputMemory) -> Callable:
    """Returns `(params, inputs [B, ...], is_first [B], state) -> (encoded, state)` of an actor."""

    def step(params, inputs, is_first, state):
        state = tree_where(is_first, memory.initial_state(is_first.shape[0]), state)
        return memory.step(params, inputs, state)

    return jax.jit(step)


def whole_window(memory: InputMemory) -> Callable:
    """Returns `(params, inputs [B, W, ...]) -> encoded`, the output of the last step alone."""

    def step(params, inputs):
        batch_size, steps = inputs.shape[:2]
        is_first = jnp.zeros((batch_size, steps), bool)
        encoded, _ = memory.encode(params, inputs, is_first, memory.initial_state(batch_size))
        return encoded[:, -1]

    return jax.jit(step)


def memory_rates(window: int, num_envs: int) -> dict[str, Callable[[], float]]:
    """Returns measurements in steps per second, with the cache and without."""
    memory = make_memory(dataclasses.replace(MEMORY, window=window), NetworkConfig(), OBSERVATION)
    assert memory is not None
    params, state = memory.init(jax.random.PRNGKey(0)), memory.initial_state(num_envs)
    inputs = jnp.ones((num_envs, *OBSERVATION.shape))
    is_first, step, anew = np.zeros(num_envs, bool), cached_step(memory), whole_window(memory)
    past = jnp.repeat(inputs[:, None], window, axis=1)

    def act() -> None:
        nonlocal state
        encoded, state = step(params, inputs, is_first, state)
        jax.block_until_ready(encoded)

    def act_anew() -> None:
        jax.block_until_ready(anew(params, past))

    def rate_of(call: Callable[[], None]) -> Callable[[], float]:
        call()
        return lambda: num_envs / seconds_per_call(call, clock=time.process_time)

    return {CACHED: rate_of(act), ANEW: rate_of(act_anew)}


def measure_memory(report: Report, num_envs: int) -> None:
    """Adds the rows of all windows, with and without the cache."""
    windows = WINDOWS[:2] if TINY.value else WINDOWS
    functions = {}
    for window in windows:
        for way, rate in memory_rates(window, num_envs).items():
            functions[way, window] = rate
    rates = interleaved(functions, REPEATS)
    shortest = windows[0]
    for way in (CACHED, ANEW):
        for window in windows:
            values, is_limit = rates[way, window], window == shortest
            report.add(
                Row(
                    "networks",
                    f"transformer, {way}, window {window}, {num_envs} x 1",
                    "steps/s",
                    values,
                    "" if is_limit else f"window {shortest}",
                    () if is_limit else rates[way, shortest],
                    note=f"{1e6 * num_envs / float(np.median(values)):,.0f} µs a call",
                )
            )


def dynamics_problem(dynamics: str, torso: str, shape: tuple[int, ...]) -> tuple[Problem, int]:
    """Returns a model with random parameters, and the number of parameters of its dynamics."""
    spec = EnvironmentSpec(
        observations=specs.Array(shape, np.float32),
        actions=specs.DiscreteArray(NUM_ACTIONS),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
    )
    config = NetworkConfig(torso=torso, width=WIDTH, dynamics=dynamics)
    networks = make_muzero_networks(spec, HistoryConfig(), config)
    params = networks.init(jax.random.PRNGKey(0))
    module = {name: part for name, part in params.items() if name.split("/")[0] == "dynamics"}
    count = sum(leaf.size for leaf in jax.tree.leaves(module))

    def make_inputs(batch_size: int) -> jax.Array:
        return jax.random.uniform(jax.random.PRNGKey(1), (batch_size, *shape))

    return Problem(muzero_model(networks, spec, 0.99), params, make_inputs), count


def measure_dynamics(report: Report, state: str) -> None:
    """Adds the rows of all dynamics of one kind of state."""
    torso, shape = STATES[state]
    search = dataclasses.replace(SEARCH, num_simulations=4) if TINY.value else SEARCH
    names = list(DYNAMICS)[:2] if TINY.value else list(DYNAMICS)
    problems = {name: dynamics_problem(name, torso, shape) for name in names}
    sides = {
        name: (our_search(search, problem.model), problem)
        for name, (problem, _) in problems.items()
    }
    rates = measured_rates(sides, search, BATCH_SIZE)
    for name, values in rates.items():
        is_limit = name == "residual"
        report.add(
            Row(
                "networks",
                f"search, {name} dynamics, {state}, {BATCH_SIZE} x {search.num_simulations}",
                "simulations/s",
                values,
                "" if is_limit else "residual",
                () if is_limit else rates["residual"],
                note=f"{problems[name][1]:,} parameters of the dynamics",
            )
        )


def main() -> None:
    prepare(MEASURED_CORE)
    report = Report()
    for num_envs in NUM_ENVS[:1] if TINY.value else NUM_ENVS:
        measure_memory(report, num_envs)
    for state in list(STATES)[:1] if TINY.value else STATES:
        measure_dynamics(report, state)
    report.close()


if __name__ == "__main__":
    run_main(main)
