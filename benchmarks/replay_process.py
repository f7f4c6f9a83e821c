"""Replay server in a process of its own, and recorded steps to fill a replay."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dm_env
import jax
import numpy as np
from absl import flags
from measure import prepare
from serving import LineProcess

from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.configuration import load_config_file, run_main
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.distributed.runtimes.zeromq.client import Client
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint, digest
from mukoe.layouts.distributed.runtimes.zeromq.program import served_methods
from mukoe.layouts.distributed.runtimes.zeromq.server import Server
from mukoe.replay.declaration import row_spec
from mukoe.replay.served import ReplayServer
from mukoe.types import EnvironmentSpec, Policy, Row

CORE = flags.DEFINE_integer("core", 1, "Core of this process.")
FEED = flags.DEFINE_bool("feed", False, "Insert without end, as fast as the table allows.")
UNLIMITED = flags.DEFINE_bool("unlimited", True, "Sampling and inserting do not wait.")
SERVED_CONFIG = flags.DEFINE_string("served_config", "benchmarks/gumbel_atari.py", "Config file.")

RUNTIME = flags.DEFINE_enum("runtime", "launchpad", ["launchpad", "zeromq"], "Served replay.")

NUM_ENVS = 4


class Setup(NamedTuple):
    """Parts of a config that replay needs."""

    config: TrainingConfig
    builder: ActorLearnerBuilder
    spec: EnvironmentSpec
    policy: Policy

    @property
    def rows(self) -> Row:
        """Specs of a row."""
        return row_spec(self.spec, self.policy.extras_spec)

    def make_replay(self, client: Any) -> Any:
        """Returns the handle of the server's replay."""
        from mukoe.replay.served import ServedReplay

        if hasattr(client, "futures"):
            return ServedReplay(client, self.builder.replay, self.rows)
        from mukoe.replay.reverb import ReverbReplay

        return ReverbReplay(client, self.builder.replay, self.rows)


class Step(NamedTuple):
    """One step of `NUM_ENVS` environments: timesteps, actions and extras, `[B, ...]`."""

    timestep: dm_env.TimeStep
    action: np.ndarray
    extras: dict[str, np.ndarray]


def load(path: str, **replay: Any) -> Setup:
    """Loads a config file; `replay` overrides fields of `agent.replay`."""
    import dataclasses

    config = load_config_file(path)
    agent = config.agent
    agent = dataclasses.replace(agent, replay=dataclasses.replace(agent.replay, **replay))
    builder = agent.make_builder()
    environment = config.environment.make_factory()(0, 1, False)
    spec = environment.spec
    environment.close()
    policy = builder.make_policy(builder.make_networks(spec), spec)
    return Setup(dataclasses.replace(config, agent=agent), builder, spec, policy)


def record(setup: Setup, num_steps: int) -> list[Step]:
    """Records a random policy with random, hence incompressible, extras."""
    random = np.random.default_rng(0)
    environment = setup.config.environment.make_factory()(0, NUM_ENVS, False)
    num_actions = setup.spec.actions.num_values
    timestep, steps = environment.reset(), []
    for _ in range(num_steps):
        action = random.integers(0, num_actions, NUM_ENVS)
        extras = {
            name: random.random((NUM_ENVS, *spec.shape)).astype(spec.dtype)
            for name, spec in setup.policy.extras_spec.items()
        }
        steps.append(Step(jax.tree.map(np.array, timestep), action, extras))
        timestep = environment.step(action)
    environment.close()
    return steps


def feed(adders: Sequence[Any], steps: Sequence[Step]) -> Iterator[int]:
    """Adds recorded steps from the first episode start; yields the number of steps each time."""
    for adder in adders:
        adder.reset()
    before: Step | None = None
    for step in steps:
        for i, adder in enumerate(adders):
            timestep = jax.tree.map(lambda x, i=i: x[i], step.timestep)
            extras = {name: value[i] for name, value in step.extras.items()}
            if timestep.first():
                adder.add_first(timestep)
            elif before is not None:
                old = {name: value[i] for name, value in before.extras.items()}
                adder.add(before.action[i], timestep, old, final_extras=extras)
        before = step
        yield len(adders)


class ReplayProcess(LineProcess):
    """Context manager of a replay server in another process.

    client: client of the server.
    pid: identifier of its process.
    """

    def __init__(self, core: int, *flags: str):
        """Starts the process on a core, with `flags` of this file."""
        self._folder = tempfile.TemporaryDirectory(prefix="mukoe-benchmark-")
        arguments = [__file__, f"--core={core}", *flags, f"--output={self._folder.name}"]
        super().__init__(arguments, "the replay server", stderr=subprocess.DEVNULL)

    def __enter__(self) -> "ReplayProcess":
        line = self._process.stdout.readline()
        kind, _, place = line.strip().partition(" ")
        if kind == "port":
            import reverb

            self.client = reverb.Client(f"localhost:{place}")
        elif kind == "address":
            self.client = Client(Endpoint(place, digest("benchmark")), 60.0)
        else:
            raise RuntimeError(f"the replay server did not start: {line!r}")
        self.pid = self._process.pid
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._folder.cleanup()

    def checkpoint_bytes(self) -> int:
        """Writes a checkpoint; returns its bytes."""
        folder = Path(self.client.checkpoint())
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def serve_on_zeromq(folder: str, until: Callable[[], object]) -> None:
    """Serves the in-process replay on a Unix socket until `until` returns."""
    setup = load(SERVED_CONFIG.value, samples_per_insert=None)
    replay = ReplayServer(setup.builder.replay, setup.rows, seed=0, num_streams=NUM_ENVS)
    node = types.SimpleNamespace(server=replay, save=replay.state)
    endpoint = Endpoint(f"ipc://{folder}/replay", digest("benchmark"))
    with contextlib.closing(Server(endpoint, *served_methods("replay/0", node))):
        print(f"address {endpoint.address}", flush=True)
        until()


def serve(folder: str, until: Callable[[], object]) -> None:
    """Serves, and feeds with the flag `--feed`, until `until` returns."""
    import reverb

    from mukoe.replay.reverb import make_tables

    limits = {"samples_per_insert": None} if UNLIMITED.value else {}
    setup = load(SERVED_CONFIG.value, **limits)
    tables = make_tables(setup.builder.replay, setup.rows)
    checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(folder)
    server = reverb.Server(tables, checkpointer=checkpointer)
    stopped = threading.Event()
    if FEED.value:
        client = reverb.Client(f"localhost:{server.port}")
        arguments = (setup, client, stopped.is_set)
        threading.Thread(target=feed_for_ever, args=arguments, daemon=True).start()
    print(f"port {server.port}", flush=True)
    until()
    stopped.set()


def feed_for_ever(setup: Setup, client: Any, should_stop: Callable[[], bool]) -> None:
    """Adds the same recorded steps repeatedly."""
    steps = record(setup, 200)
    replay = setup.make_replay(client)
    adders = [replay.make_adder(should_stop) for _ in range(NUM_ENVS)]
    while not should_stop():
        for _ in feed(adders, steps):
            if should_stop():
                break


def main() -> None:
    prepare(CORE.value)
    chosen = serve_on_zeromq if RUNTIME.value == "zeromq" else serve
    chosen(flags.FLAGS.output, sys.stdin.read)
    os._exit(0)  # Reverb's own end waits for its clients.


if __name__ == "__main__":
    run_main(main)
