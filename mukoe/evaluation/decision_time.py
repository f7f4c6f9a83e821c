"""Number of simulations whose decisions take a given time."""

import contextlib
import math
import statistics
import time
from collections.abc import Callable

import jax

from mukoe.errors import UserError
from mukoe.evaluation.players import simulations_of
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.terminal.progress_line import show_phase

_FIELD = "agent.search.num_simulations"
# Compilations: that of the run's simulations, and guesses.
_MEASUREMENTS = 5
# Largest factor between guesses: a measurement takes seconds.
_GROWTH = 16.0
# Share of the time that a guess aims at.
_AIM = 0.9
# Share of the time that is good enough.
_ENOUGH = 0.75
# Decisions that are timed, after one that compiles.
_DECISIONS = 3
# Simulations of a tree that fits in any memory.
_MOST = 20_000


def with_seconds_per_move(run: StoredRun, seconds: float) -> StoredRun:
    """Returns the run with as many simulations as a decision of one environment has time for.

    The time is measured on this machine, now: later decisions vary with its load.

    Args:
      run: run of an agent that searches.
      seconds: time of a decision.

    Raises:
      UserError: the agent acts without a search, or one simulation takes longer.
    """
    start = simulations_of(run)
    if start is None:
        raise UserError("--seconds_per_move needs an agent that searches")
    measured: dict[int, float] = {}

    def seconds_of(simulations: int) -> float:
        show_phase("timing the search")
        measured[simulations] = decision_seconds(run.with_overrides({_FIELD: simulations}))
        return measured[simulations]

    simulations = simulations_within(seconds, seconds_of, max(start, 1))
    if not simulations:
        raise UserError(
            f"one simulation takes {min(measured.values()):.2g} seconds on this machine; raise "
            "--seconds_per_move"
        )
    return run.with_overrides({_FIELD: simulations})


def simulations_within(seconds: float, seconds_of: Callable[[int], float], start: int) -> int:
    """Returns the largest measured number of simulations that keeps the time; 0 for none.

    The time of `n` simulations is taken as `c n^p`: p = 1 at first, then that of the last two
    measurements. It grows faster than `n` where the tree leaves the caches.

    Args:
      seconds: time of a decision.
      seconds_of: measurement of a number of simulations.
      start: first number that is measured.
    """
    found, power, guess = 0, 1.0, start
    last: tuple[int, float] | None = None
    for _ in range(_MEASUREMENTS):
        measured = seconds_of(guess)
        if measured <= seconds:
            found = max(found, guess)
            if measured >= _ENOUGH * seconds or guess == _MOST:
                break
        if last is not None:
            power = max(1.0, math.log(measured / last[1]) / math.log(guess / last[0]))
        last = guess, measured
        factor = min(_GROWTH, (_AIM * seconds / measured) ** (1.0 / power))
        guess = max(1, min(_MOST, int(guess * factor)))
        if guess == last[0] or guess <= found:
            break
    return found


def decision_seconds(run: StoredRun) -> float:
    """Returns the median seconds of a decision at the start of an episode, after compilation."""
    policy, spec = run.make_policy(), run.environment_spec
    RequiredMemory(run.experiment, spec).check_acting(1, "lower the simulations", evaluation=True)
    act = jax.jit(policy.apply)
    with contextlib.closing(run.experiment.environment_factory(0, 1, True)) as environment:
        observation = environment.reset().observation
    state, key = policy.initial_state(1), jax.random.PRNGKey(0)
    params = jax.device_put(run.params)
    times = []
    for _ in range(1 + _DECISIONS):
        started = time.perf_counter()
        jax.block_until_ready(act(params, key, observation, state))
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
