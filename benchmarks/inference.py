"""Requests per second through the inference server, against its jitted function alone.

python benchmarks/inference.py
python benchmarks/inference.py --soak_seconds=300

The server is on core 0, its clients, in a process of their own and behind courier as actors
are, on core 1; each client has one environment. The limit is the policy in a bare loop with
as many environments in a batch, on core 0 too, in turns. With a policy that costs nothing
the transport is all there is.
"""

import functools
import json
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from absl import flags
from dm_env import specs
from measure import (
    MEASURED_CORE,
    OTHER_CORE,
    TINY,
    Report,
    Row,
    interleaved,
    prepare,
    seconds_per_call,
)
from replay_process import load
from serving import LineProcess, Parameters, over_courier

from mukoe.acting.inference import InferenceConfig, InferenceServer, RemoteRunner, ServerConnection
from mukoe.acting.runners import make_act
from mukoe.acting.variables import VariableClient
from mukoe.configuration import run_main
from mukoe.types import Nest, Policy, PolicyParams

SOAK_SECONDS = flags.DEFINE_integer("soak_seconds", 0, "Only 800 clients, for so long.")
CLIENTS_AT = flags.DEFINE_integer("clients_at", 0, "Be the clients of the server at this port.")
NUM_CLIENTS = flags.DEFINE_integer("num_clients", 1, "How many.")

CONFIG = "configs/atari.py"
FRAME = (64, 64, 1)
MANY = 800
WINDOW_SECONDS = 2.0


class Window(NamedTuple):
    """What clients saw for a while.

    seconds, requests, failures: of all clients.
    p50_ms, p99_ms: of the latencies.
    """

    seconds: float
    requests: int
    failures: int
    p50_ms: float
    p99_ms: float


def free_policy() -> Policy:
    """Acts at no cost; its extras have the shapes of a small search."""

    def apply(params, key, observation, state):
        del params, key
        batch_size = observation.shape[0]
        extras = {
            "search_policy": jnp.zeros((batch_size, 9)),
            "search_value": jnp.zeros(batch_size),
        }
        return jnp.zeros(batch_size, jnp.int32), extras, state

    return Policy(
        apply=apply,
        initial_state=lambda batch_size: (),
        extras_spec={
            "search_policy": specs.Array((9,), np.float32),
            "search_value": specs.Array((), np.float32),
        },
    )


@contextmanager
def serve(policy: Policy, params: Any, config: InferenceConfig, num_clients: int) -> Iterator[int]:
    """Serves a policy over courier; gives the port."""
    observations = specs.Array(FRAME, np.uint8, "observation")
    variables = VariableClient(Parameters(params))
    variables.update(wait=True)
    server = InferenceServer(
        policy,
        observations,
        variables,
        jax.random.PRNGKey(0),
        config,
        max_environments=num_clients,
        smallest_batch=min(num_clients, config.max_batch_size),
    )
    with over_courier(server) as port:
        yield port


class Clients(LineProcess):
    """Clients in a process of their own; a context manager."""

    def __init__(self, port: int, num_clients: int):
        arguments = [__file__, f"--clients_at={port}", f"--num_clients={num_clients}"]
        super().__init__(arguments, "the process of the clients")

    def run(self, seconds: float) -> Window:
        """Lets all clients ask for so long."""
        return Window(*self.ask(seconds))


def be_clients(port: int, num_clients: int) -> None:
    """The process of the clients: runs a window for each line that it reads."""
    import sys

    import courier

    stub = courier.Client(f"localhost:{port}")
    config = InferenceConfig()
    runners = []
    for index in range(num_clients):
        connection = ServerConnection([stub], f"client_{index}", 1, config)
        connection.open()
        runners.append(RemoteRunner(connection))
    num_threads = min(num_clients, 16)
    parts = [runners[i::num_threads] for i in range(num_threads)]
    with futures.ThreadPoolExecutor(num_threads) as pool:
        print("ready", flush=True)
        for line in sys.stdin:
            start = time.monotonic()
            ask = functools.partial(ask_for, until=start + float(line))
            results = list(pool.map(ask, parts))
            latencies = [latency for part, _ in results for latency in part]
            failures = sum(failed for _, failed in results)
            p50, p99 = np.percentile(np.asarray(latencies) * 1000, [50, 99]).tolist()
            window = Window(time.monotonic() - start, len(latencies), failures, p50, p99)
            print(json.dumps(window), flush=True)


def ask_for(runners: Sequence[RemoteRunner], until: float) -> tuple[list[float], int]:
    """Lets each client ask again and again; returns latencies in seconds, and failures."""
    observation = np.random.default_rng(0).integers(0, 255, (1, *FRAME)).astype(np.uint8)
    is_first = np.zeros(1, bool)
    latencies, failures = [], 0
    while time.monotonic() < until:
        start = time.monotonic()
        for wait in [runner.submit(observation, is_first) for runner in runners]:
            try:
                wait()
                latencies.append(time.monotonic() - start)
            except TimeoutError:
                failures += 1
    return latencies, failures


def bare_loop(policy: Policy, params: Any, batch_size: int):
    """The policy alone: NumPy in, NumPy out."""
    act = jax.jit(make_act(policy))
    state: Nest = policy.initial_state(batch_size)
    observation = np.zeros((batch_size, *FRAME), np.uint8)
    is_first, key = np.zeros(batch_size, bool), jax.random.PRNGKey(0)
    on_device = jax.device_put(PolicyParams(params, np.int32(0)))

    def step() -> None:
        nonlocal state
        action, extras, state = act(on_device, key, 0, observation, is_first, state)
        jax.tree.map(np.asarray, (action, dict(extras)))

    step()
    return step


def measure(
    report: Report, name: str, policy: Policy, params: Any, num_clients: int, limited: bool
) -> None:
    """Adds the rows of so many clients; `limited` holds them against the policy alone."""
    config = InferenceConfig(max_batch_size=min(num_clients, 256))
    seconds = 0.2 if TINY.value else WINDOW_SECONDS
    windows: list[Window] = []
    step = bare_loop(policy, params, num_clients) if limited else None
    with serve(policy, params, config, num_clients) as port, Clients(port, num_clients) as clients:

        def run() -> float:
            windows.append(clients.run(seconds))
            return windows[-1].requests / windows[-1].seconds

        run()
        windows.clear()
        functions = {"server": run}
        if step is not None:
            functions["bare"] = lambda: num_clients / seconds_per_call(step, at_least=0.5)
        rates = interleaved(functions)
    p50, p99 = (np.median([getattr(w, field) for w in windows]) for field in ("p50_ms", "p99_ms"))
    note = f"latency p50 {p50:.1f} ms, p99 {p99:.1f} ms; server on core 0, clients on core 1"
    if limited and num_clients == 1:
        added = p50 - np.median(1000 / np.asarray(rates["bare"]))
        note += f"; {added:.1f} ms more than the bare call, target at most 3"
    if failures := sum(window.failures for window in windows):
        note += f"; {failures} requests without an answer"
    against, limits, target = ("bare loop", rates["bare"], 0.85) if limited else ("", (), None)
    if num_clients == 1:
        target = None
    report.add(
        Row(
            "inference",
            f"{name}, {num_clients} client{'s' * (num_clients > 1)}",
            "requests/s",
            rates["server"],
            against,
            limits,
            target,
            note,
        )
    )


def soak(report: Report, num_clients: int, seconds: int) -> None:
    """Adds the row of a long run: is every request answered, does memory grow?"""
    process, sizes, windows = psutil.Process(), [], []
    config = InferenceConfig(max_batch_size=min(num_clients, 256))
    with (
        serve(free_policy(), {}, config, num_clients) as port,
        Clients(port, num_clients) as clients,
    ):
        while sum(window.seconds for window in windows) < seconds:
            windows.append(clients.run(min(5.0, seconds / 5)))
            sizes.append(process.memory_info().rss / 1e6)
    times = np.cumsum([window.seconds for window in windows])
    late = len(sizes) // 4  # Buffers fill up at first.
    slope = np.polyfit(times[late:], sizes[late:], 1)[0] * 60
    failures = sum(window.failures for window in windows)
    report.add(
        Row(
            "inference",
            f"soak, {num_clients} clients, {times[-1]:.0f} s",
            "requests/s",
            [window.requests / window.seconds for window in windows],
            note=f"{sum(w.requests for w in windows)} answered, {failures} not; server memory "
            f"{sizes[0]:.0f} to {sizes[-1]:.0f} MB, {slope:+.2f} MB a minute",
        )
    )


def main() -> None:
    if CLIENTS_AT.value:
        prepare(OTHER_CORE)
        be_clients(CLIENTS_AT.value, NUM_CLIENTS.value)
        return
    prepare(MEASURED_CORE)
    report = Report()
    if SOAK_SECONDS.value:
        soak(report, 8 if TINY.value else MANY, SOAK_SECONDS.value)
    else:
        if not TINY.value:
            setup = load(CONFIG)
            params = setup.builder.make_networks(setup.spec).init(jax.random.PRNGKey(0))
            for num_clients in (1, 4, 16, 64):
                measure(report, "small Atari network", setup.policy, params, num_clients, True)
        for num_clients in (4,) if TINY.value else (1, 16, 64, MANY):
            measure(report, "free policy", free_policy(), {}, num_clients, False)
    report.close()


if __name__ == "__main__":
    run_main(main)
