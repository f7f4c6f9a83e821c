"""Steps per second of environments behind dm_env_rpc, compared with direct environments.

python benchmarks/remote_environment.py
python benchmarks/remote_environment.py --config=benchmarks/gumbel_atari.py

The server is a separate process on core 1, the client runs on core 0, and actions are random. Each
case is compared with the same vector stepped directly on core 0, in interleaved measurements.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from absl import flags
from measure import MEASURED_CORE, OTHER_CORE, TINY, Report, Row, interleaved, pin, prepare
from serving import LineProcess

from mukoe.configuration import DEFINE_config, run_main
from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig
from mukoe.environments.vector import EnvironmentFactory

CONFIG = DEFINE_config("configs/cartpole.py")
SECONDS = flags.DEFINE_float("seconds", 1.0, "Duration of each measurement.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Number of measurements of each case.")
SERVE = flags.DEFINE_bool("serve", False, "Run as the server.")

NUM_ENVS = (1, 8)


def serve() -> None:
    """Serves until the end of the input; responds to each line with the port."""
    from mukoe.environments.dm_env_rpc.server import Server
    from mukoe.environments.dm_env_rpc.single import single_environments

    make_environment = single_environments(CONFIG.load().environment.make_factory())
    server = Server(make_environment, "127.0.0.1", 0, 2 * sum(NUM_ENVS), "served")
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(server.port), flush=True)
    server.stop()


def stepping(factory: EnvironmentFactory, num_envs: int) -> Callable[[], float]:
    """Returns a function that measures the steps per second of a vector."""
    environment = factory(0, num_envs, False)
    environment.reset()
    actions = np.random.default_rng(0).integers(
        environment.spec.actions.num_values, size=(1000, num_envs)
    )

    def rate() -> float:
        steps, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < SECONDS.value:
            timestep = environment.step(actions[steps % 1000])
            steps += 1
            if TINY.value and timestep.last().any():
                break
        return steps * num_envs / max(elapsed, 1e-9)

    return rate


def measure(report: Report, port: int) -> None:
    """Adds the rows of all cases to the report."""
    direct = CONFIG.load().environment.make_factory()
    remote = DmEnvRpcConfig(f"dm_env_rpc://localhost:{port}").make_factory()
    for num_envs in NUM_ENVS:
        functions = {
            "direct": stepping(direct, num_envs),
            "remote": stepping(remote, num_envs),
        }
        rates = interleaved(functions, REPEATS.value)
        milliseconds = 1e3 * num_envs / float(np.median(rates["remote"]))
        report.add(
            Row(
                "remote_environment",
                f"{num_envs} through dm_env_rpc",
                "steps/s",
                rates["remote"],
                "stepped directly",
                rates["direct"],
                note=f"{milliseconds:.2f} ms per vector step",
            )
        )


def main() -> None:
    if SERVE.value:
        prepare()
        pin(OTHER_CORE)
        serve()
        return
    prepare(MEASURED_CORE)
    report = Report()
    arguments = [__file__, f"--config={CONFIG.filename}", "--serve"]
    with LineProcess(arguments, "the server") as server:
        measure(report, server.ask("port"))
    report.close()


if __name__ == "__main__":
    run_main(main)
