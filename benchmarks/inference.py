"""Throughput of the inference server beside that of its jitted function.

python benchmarks/inference.py
python benchmarks/inference.py --soak_seconds=300

The server runs on core 0. Its clients run in another process on core 1 and use the transport of a
runtime, as actors do. The limit is the policy in a loop with as many environments in a batch, on
core 0 too, in turns; core 1 is never idle. With a policy without cost only the transport is
measured.
"""

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    busy,
    interleaved,
    prepare,
    seconds_per_call,
)
from replay_process import load as load_setup
from serving import RUNTIMES, LineProcess, Parameters, connect, serve_on

from mukoe.acting.inference import InferenceConfig, InferenceServer, RemoteRunner, ServerConnection
from mukoe.acting.runners import make_act
from mukoe.acting.variables import VariableClient
from mukoe.configuration import run_main
from mukoe.types import Nest, Policy, PolicyParams

SOAK_SECONDS = flags.DEFINE_integer(
    "soak_seconds", 0, "Seconds of a measurement of 800 clients only; 0 for all cases."
)
BE_CLIENTS = flags.DEFINE_bool("be_clients", False, "Run as the process of the clients.")

CONFIG = "benchmarks/gumbel_atari.py"
FRAME = (64, 64, 1)
MOST_ENVIRONMENTS = 256
MOST_THREADS = 16
WINDOW_SECONDS = 1.5


class Window(NamedTuple):
    """Measurements of the clients in a time window.

    seconds: length of the window.
    requests: number of requests of all clients.
    failures: number of failed requests of all clients.
    p50_ms: median latency in milliseconds.
    p99_ms: 99th percentile of the latency in milliseconds.
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


class Load(NamedTuple):
    """Load on the server.

    clients: number of clients.
    envs: number of environments of each client.
    """

    clients: int
    envs: int = 1

    @property
    def batch_size(self) -> int:
        """Largest number of environments in a batch."""
        return min(self.clients * self.envs, MOST_ENVIRONMENTS)

    def __str__(self) -> str:
        clients = f"{self.clients} client{'s' * (self.clients > 1)}"
        return clients if self.envs == 1 else f"{clients} of {self.envs} environments"


@contextmanager
def serve(runtime: str, policy: Policy, params: Any, load: Load) -> Iterator[str]:
    """Serves a policy on a runtime, with slots for a load, and yields the address."""
    observations = specs.Array(FRAME, np.uint8, "observation")
    variables = VariableClient(Parameters(params))
    variables.update(wait=True)
    server = InferenceServer(
        policy,
        observations,
        variables,
        jax.random.PRNGKey(0),
        InferenceConfig(max_batch_size=load.batch_size),
        max_environments=load.clients * load.envs,
        smallest_batch=load.envs,
    )
    with serve_on(runtime, server) as address:
        yield address


class Clients(LineProcess):
    """Context manager of clients of any server, in a separate process."""

    def __init__(self) -> None:
        super().__init__([__file__, "--be_clients"], "the process of the clients")

    def run(self, address: str, load: Load, seconds: float) -> Window:
        """Measures the clients of a load for a number of seconds."""
        return Window(*self.ask(json.dumps([address, *load, seconds])))


def be_clients() -> None:
    """Runs the process of the clients, which measures a window for each line of its input."""
    import sys

    @functools.cache
    def runners_of(address: str, load: Load) -> list[RemoteRunner]:
        stub = connect(address)
        runners = []
        for index in range(load.clients):
            name = f"client_{index}"
            connection = ServerConnection([stub], name, load.envs, InferenceConfig())
            connection.open()
            runners.append(RemoteRunner(connection))
        return runners

    with futures.ThreadPoolExecutor(MOST_THREADS) as pool:
        print("ready", flush=True)
        for line in sys.stdin:
            address, *numbers, seconds = json.loads(line)
            load = Load(*numbers)
            num_threads = min(load.clients, MOST_THREADS)
            parts = [runners_of(address, load)[i::num_threads] for i in range(num_threads)]
            start = time.monotonic()
            ask = functools.partial(ask_for, envs_per_client=load.envs, until=start + seconds)
            results = list(pool.map(ask, parts))
            latencies = [latency for part, _ in results for latency in part]
            failures = sum(failed for _, failed in results)
            p50, p99 = np.percentile(np.asarray(latencies) * 1000, [50, 99]).tolist()
            window = Window(time.monotonic() - start, len(latencies), failures, p50, p99)
            print(json.dumps(window), flush=True)


def ask_for(
    runners: Sequence[RemoteRunner], envs_per_client: int, until: float
) -> tuple[list[float], int]:
    """Sends requests of each client in a loop; returns latencies in seconds, and failures."""
    shape = (envs_per_client, *FRAME)
    observation = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    is_first = np.zeros(envs_per_client, bool)
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
    """Returns a step of the policy only, with NumPy inputs and outputs."""
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


def rates_of(
    address: str, clients: Clients, load: Load, functions: Mapping[str, Callable[[], float]]
) -> tuple[dict[str, list[float]], list[Window]]:
    """Returns environments/s of the server in turns with `functions`, and its windows."""
    windows: list[Window] = []
    seconds = 0.2 if TINY.value else WINDOW_SECONDS

    def server() -> float:
        windows.append(clients.run(address, load, seconds))
        return windows[-1].requests * load.envs / windows[-1].seconds

    with busy(OTHER_CORE):
        server()
        windows.clear()
        return interleaved({"server": server, **functions}), windows


def measure(
    report: Report,
    clients: Clients,
    runtime: str,
    name: str,
    policy: Policy,
    params: Any,
    load: Load,
) -> None:
    """Adds the row of a load; the limit is the policy only, unless the policy is without cost."""
    functions: dict[str, Callable[[], float]] = {}
    if params:
        step = bare_loop(policy, params, load.batch_size)
        functions["bare"] = functools.partial(bare_rate, step, load.batch_size)
    with serve(runtime, policy, params, load) as address:
        rates, windows = rates_of(address, clients, load, functions)
    report.add(row_of(f"{runtime}, {name}, {load}", load, rates, windows))


def bare_rate(step: Callable[[], None], batch_size: int) -> float:
    """Returns environments/s of a bare loop."""
    return batch_size / seconds_per_call(step, at_least=0.7)


def row_of(
    name: str, load: Load, rates: Mapping[str, list[float]], windows: Sequence[Window]
) -> Row:
    """Returns the row of a load, from `rates_of`."""
    p50, p99 = (np.median([getattr(w, field) for w in windows]) for field in ("p50_ms", "p99_ms"))
    note = f"latency p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    bare = rates.get("bare")
    if bare and load.clients == 1:
        added = p50 - np.median(1000 * load.envs / np.asarray(bare))
        note += f", {added:.1f} ms more than the bare call, target at most 3"
    if failures := sum(window.failures for window in windows):
        note += f"; {failures} requests without an answer"
    row = Row("inference", name, "environments/s", rates["server"], note=note)
    if bare is None:
        return row
    target = 0.85 if load.clients > 1 else None
    return dataclasses.replace(row, against="bare loop", limits=bare, target=target)


def soak(report: Report, load: Load, seconds: int) -> None:
    """Adds the row of a long run, with the count of answered requests and the growth of memory."""
    process, sizes, windows = psutil.Process(), [], []
    with serve(RUNTIMES[-1], free_policy(), {}, load) as address, Clients() as clients:
        while sum(window.seconds for window in windows) < seconds:
            windows.append(clients.run(address, load, min(5.0, seconds / 5)))
            sizes.append(process.memory_info().rss / 1e6)
    times = np.cumsum([window.seconds for window in windows])
    late = len(sizes) // 4  # Buffers fill up at first.
    slope = np.polyfit(times[late:], sizes[late:], 1)[0] * 60
    failures = sum(window.failures for window in windows)
    report.add(
        Row(
            "inference",
            f"soak, {load}, {times[-1]:.0f} s",
            "requests/s",
            [window.requests / window.seconds for window in windows],
            note=f"{sum(w.requests for w in windows)} answered, {failures} not; server memory "
            f"{sizes[0]:.0f} to {sizes[-1]:.0f} MB, {slope:+.2f} MB a minute",
        )
    )


def measure_all(report: Report, many: Load) -> None:
    """Adds the rows of all loads."""
    with Clients() as clients:
        if not TINY.value:
            setup = load_setup(CONFIG)
            params = setup.builder.make_networks(setup.spec).init(jax.random.PRNGKey(0))
            for load in (Load(1), Load(4, 4), Load(16, 4), Load(64, 4), Load(64)):
                for runtime in RUNTIMES:
                    name = "small Atari network"
                    measure(report, clients, runtime, name, setup.policy, params, load)
        for load in (many,) if TINY.value else (Load(1), Load(64), many):
            for runtime in RUNTIMES:
                measure(report, clients, runtime, "free policy", free_policy(), {}, load)


def main() -> None:
    if BE_CLIENTS.value:
        prepare(OTHER_CORE)
        be_clients()
        return
    prepare(MEASURED_CORE)
    report = Report()
    many = Load(4 if TINY.value else 800)
    if SOAK_SECONDS.value:
        soak(report, many, SOAK_SECONDS.value)
    else:
        measure_all(report, many)
    report.close()


if __name__ == "__main__":
    run_main(main)
