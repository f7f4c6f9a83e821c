"""Steps inserted, batches sampled and bytes stored: in this process, served on ZeroMQ, on Reverb.

python benchmarks/replay.py

Real Ms. Pacman frames of a random policy, in the rows of benchmarks/gumbel_atari.py; and the small
items of configs/cartpole.py, of which there are many in a batch. The Reverb server is alone on core
0; the one process that inserts and samples is on core 1.
"""

import functools
import importlib.util
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
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
from replay_process import NUM_ENVS, ReplayProcess, Setup, Step, feed, load, record

from mukoe.configuration import run_main
from mukoe.replay.in_process import InProcessReplay

ATARI = "benchmarks/gumbel_atari.py"
CARTPOLE = "configs/cartpole.py"
HAS_REVERB = importlib.util.find_spec("reverb") is not None


def insert(adders: Sequence[Any], steps: Sequence[Step], flush: Callable[[], None]) -> float:
    """Inserts everything and returns steps per second."""
    start = time.perf_counter()
    count = sum(feed(adders, steps))
    flush()
    return count / (time.perf_counter() - start)


def sample(dataset: Any) -> float:
    """Returns batches per second."""
    return 1 / seconds_per_call(lambda: next(dataset), at_least=0.5)


def frame_bytes(steps: Sequence[Step]) -> tuple[float, float]:
    """Returns the mean bytes of a frame, raw and compressed by zlib."""
    frames = [leaf for step in steps for leaf in jax.tree.leaves(step.timestep.observation)[0]]
    sizes = [len(zlib.compress(np.ascontiguousarray(frame).tobytes(), 6)) for frame in frames]
    return frames[0].nbytes, float(np.mean(sizes))


class Memory(NamedTuple):
    """Memory of a server in bytes, and its number of items."""

    rss: int
    items: int


def memory(server: ReplayProcess) -> Memory:
    """Returns the current memory of the server."""
    (info,) = server.client.server_info().values()
    return Memory(psutil.Process(server.pid).memory_info().rss, info.current_size)


def measure_storage(
    report: Report, server: ReplayProcess, steps: Sequence[Step], before: Memory
) -> None:
    """Adds the row of the bytes per step."""
    after = memory(server)
    raw, compressed = frame_bytes(steps)
    grown = (after.rss - before.rss) / max(after.items - before.items, 1)
    report.add(
        Row(
            "replay",
            "Reverb, stored",
            "bytes/step",
            [server.checkpoint_bytes() / after.items],
            "a frame under zlib",
            [compressed],
            note=f"checkpoint of {after.items} items; target at most 1.3; a frame is "
            f"{raw} bytes; memory grew by {grown:.0f} a step",
        )
    )


def measure_reverb(report: Report, config: str, setup: Setup, steps: Sequence[Step]) -> None:
    """Adds the rows of the Reverb server."""
    with ReplayProcess(MEASURED_CORE, f"--served_config={config}") as server:
        replay = setup.make_replay(server.client)
        adders = [replay.make_adder() for _ in range(NUM_ENVS)]

        def flush() -> None:
            for adder in adders:
                adder._writer.flush(timeout_ms=10_000)

        run = functools.partial(insert, adders, steps, flush)
        run()  # What the server needs once is there afterwards.
        before = memory(server)
        rates = interleaved({"insert": run})["insert"]
        note = "server on core 0; 4 adders in one process on core 1"
        report.add(Row("replay", f"Reverb, insert{_of(config)}", "steps/s", rates, note=note))
        if config == ATARI:
            measure_storage(report, server, steps, before)
        dataset = replay.make_dataset()
        next(dataset)
        rates = interleaved({"sample": functools.partial(sample, dataset)})["sample"]
        dataset.close()
        note = f"{setup.builder.replay.batch_size} items each; server on core 0, reader on core 1"
        report.add(Row("replay", f"Reverb, sample{_of(config)}", "batches/s", rates, note=note))


def measure_served(report: Report, config: str, setup: Setup, steps: Sequence[Step]) -> None:
    """Adds the rows of the in-process replay that another process serves on ZeroMQ."""
    with ReplayProcess(MEASURED_CORE, f"--served_config={config}", "--runtime=zeromq") as server:
        replay = setup.make_replay(server.client)
        adders = [replay.make_adder() for _ in range(NUM_ENVS)]

        def flush() -> None:
            for adder in adders:
                adder.flush()

        run = functools.partial(insert, adders, steps, flush)
        run()
        rates = interleaved({"insert": run})["insert"]
        note = "server on core 0; 4 adders in one process on core 1"
        report.add(Row("replay", f"served, insert{_of(config)}", "steps/s", rates, note=note))
        dataset = replay.make_dataset()
        rates = interleaved({"sample": functools.partial(sample, dataset)})["sample"]
        dataset.close()
        note = f"{setup.builder.replay.batch_size} items each; server on core 0, reader on core 1"
        report.add(Row("replay", f"served, sample{_of(config)}", "batches/s", rates, note=note))


def measure_in_process(report: Report, config: str, setup: Setup, steps: Sequence[Step]) -> None:
    """Adds the rows of the replay in this process."""
    replay = InProcessReplay(setup.builder.replay, setup.rows, num_streams=NUM_ENVS, seed=0)
    adders = [replay.make_adder() for _ in range(NUM_ENVS)]
    run = functools.partial(insert, adders, steps, lambda: None)
    rates = interleaved({"insert": run})["insert"]
    report.add(Row("replay", f"in process, insert{_of(config)}", "steps/s", rates, note="core 1"))
    dataset = replay.make_dataset()
    rates = interleaved({"sample": functools.partial(sample, dataset)})["sample"]
    note = f"{setup.builder.replay.batch_size} items each; core 1"
    report.add(Row("replay", f"in process, sample{_of(config)}", "batches/s", rates, note=note))


def _of(config: str) -> str:
    return ", CartPole" if config == CARTPOLE else ""


def main() -> None:
    prepare(OTHER_CORE)
    report = Report()
    for config in (ATARI, CARTPOLE):
        setup = load(config, samples_per_insert=None)
        steps = record(setup, 200 if TINY.value else 600)
        measure_in_process(report, config, setup, steps)
        measure_served(report, config, setup, steps)
        if HAS_REVERB:
            measure_reverb(report, config, setup, steps)
    report.close()


if __name__ == "__main__":
    run_main(main)
