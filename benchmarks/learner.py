"""Updates per second of a learner with a Reverb replay, against the update alone.

python benchmarks/learner.py

The learner is on core 0; the Reverb server and an adder that inserts real frames as fast as
samples_per_insert allows are on core 1. The limit is the same jitted update on one batch that
stays on the device, in the same process, in turns.
"""

import os

import jax
from absl import flags
from measure import (
    MEASURED_CORE,
    OTHER_CORE,
    OUTPUT,
    TINY,
    Report,
    Row,
    busy,
    interleaved,
    prepare,
    seconds_per_call,
    start_child,
)

from mukoe.configuration import run_main

NUM_DEVICES = flags.DEFINE_integer("num_devices", 0, "Faked devices; 0 for runs with 1 and 8.")

CONFIG = "benchmarks/gumbel_atari.py"
UPDATES = 8


def measure(report: Report, num_devices: int) -> None:
    """Adds the row of a learner on `num_devices` devices."""
    from replay_process import ReplayProcess, load

    setup = load(CONFIG)
    updates = 2 if TINY.value else UPDATES
    with busy(OTHER_CORE), ReplayProcess(OTHER_CORE, "--feed", "--nounlimited") as server:
        replay = setup.make_replay(server.client)
        dataset = replay.make_dataset()
        first = next(dataset)
        learner = setup.builder.make_learner(
            jax.random.PRNGKey(0),
            setup.builder.make_networks(setup.spec),
            dataset,
            setup.spec,
            replay=replay,
            prefetch_size=setup.config.distributed.prefetch_size,
        )
        learner.step()
        state, placed = learner._state, learner._place(first)

        def fed() -> None:
            for _ in range(updates):
                metrics = learner.step()
            jax.block_until_ready(metrics)

        def alone() -> None:
            nonlocal state
            for _ in range(updates):
                state, metrics, *_ = learner._update(state, placed.sample)
            jax.block_until_ready(metrics)

        def rate(function) -> float:
            return updates / seconds_per_call(function)

        rates = interleaved({"fed": lambda: rate(fed), "alone": lambda: rate(alone)})
        learner.close()
        dataset.close()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(placed.sample))
    report.add(
        Row(
            "learner",
            f"from Reverb, {num_devices} device{'s' * (num_devices > 1)}",
            "updates/s",
            rates["fed"],
            "update of one batch",
            rates["alone"],
            0.95,
            f"batch of {len(first.keys)}, {size / 1e6:.2f} MB; learner on core 0, "
            "server and adders on core 1",
        )
    )


def main() -> None:
    if NUM_DEVICES.value:
        flags_before = os.environ.get("XLA_FLAGS", "")
        count = f"--xla_force_host_platform_device_count={NUM_DEVICES.value}"
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["XLA_FLAGS"] = f"{flags_before} {count}"
        from mukoe.system import process_environment

        # Already set, so that nothing but this adds to it.
        os.environ["XLA_FLAGS"] = process_environment(threads=1)["XLA_FLAGS"]
        prepare(MEASURED_CORE)
        report = Report()
        measure(report, NUM_DEVICES.value)
        report.close()
        return
    passed = [f"--tiny={TINY.value}", *([f"--output={OUTPUT.value}"] if OUTPUT.value else [])]
    for num_devices in (2,) if TINY.value else (1, 8):
        child = start_child([__file__, f"--num_devices={num_devices}", *passed])
        if child.wait(timeout=300):
            raise SystemExit(child.returncode)


if __name__ == "__main__":
    run_main(main)
