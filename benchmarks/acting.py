"""Agent steps per second of an actor: environments, search and recording, without learning.

python benchmarks/acting.py --config=configs/cartpole.py --num_envs=8
"""

import json
import statistics
import time

import jax
from absl import flags

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.variables import VariableClient
from mukoe.configuration import DEFINE_config, run_main
from mukoe.layouts.resources import process_environment, set_process_environment

CONFIG = DEFINE_config("configs/cartpole.py")
NUM_ENVS = flags.DEFINE_integer("num_envs", 8, "Environments that are stepped together.")
STEPS = flags.DEFINE_integer("steps", 300, "Vector steps in each of the measurements.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Measurements.")


def main() -> None:
    set_process_environment(process_environment())
    config = CONFIG.load()
    experiment = config.make_experiment()
    builder, num_envs = experiment.builder, NUM_ENVS.value
    environment = experiment.environment_factory(0, num_envs, False)
    networks = builder.make_networks(environment.spec)
    policy = builder.make_policy(networks, environment.spec)
    replay = builder.make_in_process_replay(environment.spec, policy, num_envs, 0)
    key = jax.random.PRNGKey(0)
    learner = builder.make_learner(key, networks, iter(()), None, environment.spec)
    adders = [builder.make_adder(replay, environment.spec, policy) for _ in range(num_envs)]
    variables = VariableClient(learner)
    actor = builder.make_actor(key, policy, environment.spec, variables, adders, num_envs)
    loop = EnvironmentLoop(environment, actor)
    rates = []
    for _ in range(REPEATS.value + 1):
        steps, start = loop.progress.steps, time.perf_counter()
        for _ in range(STEPS.value):
            loop.step()
        rates.append((loop.progress.steps - steps) / (time.perf_counter() - start))
    rates = sorted(rates[1:])  # The first one compiled.
    print(
        json.dumps(
            {
                "benchmark": "acting",
                "config": CONFIG.filename,
                "num_envs": num_envs,
                "num_simulations": config.agent.search.num_simulations,
                "steps_per_second": round(statistics.median(rates)),
                "lowest": round(rates[0]),
                "highest": round(rates[-1]),
                "shares": loop.timings.shares(),
            }
        )
    )


if __name__ == "__main__":
    run_main(main)
