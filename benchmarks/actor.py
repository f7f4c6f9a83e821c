"""Emulator frames per second of one actor, by where its policy runs and with double buffering.

python benchmarks/actor.py
python benchmarks/actor.py --config=configs/cartpole.py --num_envs=8

The server runs on core 0. The actor is a process of its own behind the transport of a runtime, and
runs on core 1 with its environments, its recording, and the search if it is placed there. Each case
is compared with the slower of stepping alone (core 1, all environments, random actions) and
searching alone (core 0, as many environments as a request has), measured alternately with it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from measure import (
    MEASURED_CORE,
    OTHER_CORE,
    TINY,
    Report,
    Row,
    interleaved,
    prepare,
)
from serving import RUNTIMES, LineProcess, Parameters, connect, serve_on

from mukoe.acting.inference import (
    InferenceConfig,
    InferenceServer,
    RemoteRunner,
    ServerConnection,
    SplitRunner,
)
from mukoe.acting.loop import DoubleBufferedLoop, EnvironmentLoop, Loop
from mukoe.acting.runners import LocalRunner, PolicyRunner
from mukoe.acting.variables import VariableClient
from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.configuration import DEFINE_config, run_main
from mukoe.environments.vector import EnvironmentFactory
from mukoe.observability.timings import Timings
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import EnvironmentSpec, Policy

CONFIG = DEFINE_config("benchmarks/gumbel_atari.py")
NUM_ENVS = flags.DEFINE_integer("num_envs", 16, "Number of environments of the actor.")
SECONDS = flags.DEFINE_float("seconds", 1.0, "Seconds of each measurement.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Number of measurements of each case.")
ADDRESSES = flags.DEFINE_string(
    "addresses", None, "Run the actor; addresses of servers by placement, as JSON."
)

PLACEMENTS = ("local", "server", "split")
TARGET = 0.85


class Setup(NamedTuple):
    """Acting parts of a config."""

    builder: ActorLearnerBuilder
    spec: EnvironmentSpec
    policy: Policy
    variables: VariableClient
    make_environments: EnvironmentFactory


def make_setup() -> Setup:
    """Builds the parts; the parameters are the same in all processes."""
    experiment = CONFIG.load().make_experiment()
    environment = experiment.environment_factory(0, 1, False)
    spec = environment.spec
    environment.close()
    networks = experiment.builder.make_networks(spec)
    variables = VariableClient(Parameters(networks.init(jax.random.PRNGKey(0))), period_updates=0)
    variables.update(wait=True)
    policy = experiment.builder.make_policy(networks, spec)
    return Setup(experiment.builder, spec, policy, variables, experiment.environment_factory)


def part_sizes(buffered: bool) -> list[int]:
    """Returns the number of environments of each part of the actor."""
    count = NUM_ENVS.value
    return [count - count // 2, count // 2] if buffered else [count]


def rate_of(step: Callable[[], int], seconds: float) -> float:
    """Returns the counts per second of `step`, called for `seconds` seconds."""
    counted, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        counted += step()
    return counted / elapsed


class ActorProcess:
    """Process on the actor's core; measures one case for each line of its input."""

    def __init__(self, setup: Setup, addresses: dict[str, str]):
        self._setup = setup
        self._addresses = addresses
        self._loops: dict[str, Loop] = {}
        self._random = np.random.default_rng(0)
        self._alone = setup.make_environments(0, NUM_ENVS.value, False)
        self._alone.reset()

    def run(self) -> None:
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(self._measure(line.strip())), flush=True)

    def _measure(self, case: str) -> dict[str, Any]:
        if case == "stepping":
            return {"rate": rate_of(self._step_alone, SECONDS.value), "shares": {}}
        if case not in self._loops:
            self._loops[case] = self._make_loop(*case.split())
            for _ in range(6):  # Compiles.
                self._loops[case].step()
        loop = self._loops[case]
        loop.timings.seconds.clear()

        def step() -> int:
            before = loop.progress.frames
            loop.step()
            return loop.progress.frames - before

        return {"rate": rate_of(step, SECONDS.value), "shares": loop.timings.shares()}

    def _step_alone(self) -> int:
        count = self._setup.spec.actions.num_values
        timestep = self._alone.step(self._random.integers(count, size=self._alone.num_envs))
        return int(np.sum(~timestep.first())) * self._alone.action_repeat

    def _make_loop(self, placement: str, buffering: str = "") -> Loop:
        setup, timings = self._setup, Timings()
        sizes = part_sizes(bool(buffering))
        rows = row_spec(setup.spec, setup.policy.extras_spec)
        replay = InProcessReplay(setup.builder.replay, rows, num_streams=NUM_ENVS.value, seed=0)
        loops = []
        for part, num_envs in enumerate(sizes):
            runner = self._make_runner(
                placement, f"{placement}{buffering}/{part}", num_envs, timings
            )
            adders = [replay.make_adder() for _ in range(num_envs)]
            actor = setup.builder.make_actor(setup.policy, runner, adders)
            environment = setup.make_environments(part, num_envs, False)
            loops.append(EnvironmentLoop(environment, actor, timings))
        return loops[0] if len(loops) == 1 else DoubleBufferedLoop(loops)

    def _make_runner(
        self, placement: str, name: str, num_envs: int, timings: Timings
    ) -> PolicyRunner:
        setup, key = self._setup, jax.random.PRNGKey(0)
        if placement == "local":
            return LocalRunner(setup.policy, setup.variables, key, num_envs)
        server = connect(self._addresses[placement])
        connection = ServerConnection([server], name, num_envs, InferenceConfig(), timings=timings)
        connection.open()
        if placement == "split":
            return SplitRunner(connection, setup.policy, key, num_envs)
        return RemoteRunner(connection)


@contextmanager
def serve(setup: Setup, split: bool) -> Iterator[str]:
    """Serves the policy, on Launchpad where it is installed, and yields the address."""
    server = InferenceServer(
        setup.policy,
        setup.spec.observations,
        setup.variables,
        jax.random.PRNGKey(0),
        InferenceConfig(max_batch_size=NUM_ENVS.value),
        # Sessions of the loops with and without double buffering.
        max_environments=2 * NUM_ENVS.value,
        smallest_batch=min(part_sizes(buffered=True)),
        split=split,
    )
    with serve_on(RUNTIMES[0], server) as address:
        yield address


def actor_flags() -> list[str]:
    """Returns the flags of this process that the actor's process needs."""
    numbers = (flags.FLAGS[name] for name in ("num_envs", "seconds", "tiny"))
    return [
        f"--config={CONFIG.filename}",
        *(f"--{flag.name}={flag.value}" for flag in numbers),
    ]


class ActorClient(LineProcess):
    """Client of the actor's process; a context manager."""

    def __init__(self, addresses: dict[str, str]):
        super().__init__(
            [__file__, *actor_flags(), f"--addresses={json.dumps(addresses)}"], "the actor"
        )
        self.shares: dict[str, dict[str, float]] = {}

    def rate(self, case: str) -> float:
        """Returns the frames per second of a case."""
        answer = self.ask(case)
        self.shares[case] = answer["shares"]
        return answer["rate"]


def search_alone(setup: Setup, batch_size: int, action_repeat: int) -> Callable[[], float]:
    """Returns the measurement of the policy in a bare loop, in frames per second."""
    runner = LocalRunner(setup.policy, setup.variables, jax.random.PRNGKey(0), batch_size)
    observation = jax.tree.map(
        lambda spec: np.zeros((batch_size, *spec.shape), spec.dtype), setup.spec.observations
    )
    is_first = np.zeros(batch_size, bool)

    def step() -> int:
        runner.submit(observation, is_first)()
        return batch_size * action_repeat

    step()
    return lambda: rate_of(step, SECONDS.value)


def cases() -> list[str]:
    """Returns the placements, each without and with double buffering."""
    placements = PLACEMENTS[:2] if TINY.value else PLACEMENTS
    return [f"{placement}{text}" for placement in placements for text in ("", " buffered")]


def measure(report: Report, setup: Setup, actor: ActorClient) -> None:
    """Adds the rows of all cases."""
    environment = setup.make_environments(0, 1, False)
    repeat = environment.action_repeat
    environment.close()
    whole, part = (part_sizes(buffered)[0] for buffered in (False, True))
    functions: dict[str, Callable[[], float]] = {
        "stepping": lambda: actor.rate("stepping"),
        f"search of {whole}": search_alone(setup, whole, repeat),
        f"search of {part}": search_alone(setup, part, repeat),
    }
    for case in cases():
        functions[case] = lambda case=case: actor.rate(case)
        functions[case]()
    rates = interleaved(functions, REPEATS.value)
    for name in list(functions)[:3]:
        report.add(Row("actor", f"{name} alone", "frames/s", rates[name]))
    for case in cases():
        buffered = case.endswith("buffered")
        search = rates[f"search of {part if buffered else whole}"]
        shares = " ".join(f"{name} {share:.0%}" for name, share in actor.shares[case].items())
        report.add(
            Row(
                "actor",
                case,
                "frames/s",
                rates[case],
                "slower of both alone",
                [min(pair) for pair in zip(rates["stepping"], search, strict=True)],
                TARGET if case == "server buffered" else None,
                shares,
            )
        )


def main() -> None:
    if ADDRESSES.value:
        prepare(OTHER_CORE)
        ActorProcess(make_setup(), json.loads(ADDRESSES.value)).run()
        return
    prepare(MEASURED_CORE)
    setup, report = make_setup(), Report()
    with ExitStack() as stack:
        addresses = {
            placement: stack.enter_context(serve(setup, placement == "split"))
            for placement in ("server", "split")
        }
        measure(report, setup, stack.enter_context(ActorClient(addresses)))
    report.close()


if __name__ == "__main__":
    run_main(main)
