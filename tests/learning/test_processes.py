"""Learners of several processes, as on several hosts, on faked devices of the CPU."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DEVICES_PER_PROCESS = 2

# Arguments: index of the process, number of processes, port of the coordinator.
_LEARNER = """
import sys; sys.path.insert(0, "tests/agents/planning/deterministic_model")
import itertools, json
import jax, numpy as np, optax
index, count, port = map(int, sys.argv[1:])
if count > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", count, index)
import test_losses as case
from mukoe.agents.planning.deterministic_model.losses import make_loss
from mukoe.learning.learner import Learner
from mukoe.learning.update import TargetUpdateConfig

networks, params = case.build()
if index:  # Only the first process has the right parameters.
    params = jax.tree.map(lambda leaf: leaf + 1, params)
part = case.B // count
own = lambda leaf: leaf[index * part : (index + 1) * part]
# The datasets end at different times.
samples = [jax.tree.map(own, case.make_sample(i)) for i in range(3 if index == count - 1 else 5)]
sent = []
learner = Learner(
    make_loss(networks, case.CONFIG), optax.sgd(0.1, momentum=0.9), params,
    iter(samples), jax.random.PRNGKey(0),
    target_update=TargetUpdateConfig(period=1, rate=0.5),
    update_priorities=lambda keys, priorities: sent.append((keys.tolist(), priorities.tolist())),
)
learner.share_state()
learner.compile(samples[0])
losses = []
try:
    while True:
        losses.append(float(learner.step()["loss"]))
except StopIteration:
    learner.flush()
state = [np.asarray(leaf, np.float64).tolist() for leaf in jax.tree.leaves(learner.save())]
print(json.dumps({"steps": learner.steps, "losses": losses[:3], "sent": sent, "state": state}))
"""


def run_learners(count):
    """Returns the result of each of `count` processes, with a part of the batch each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = f"--xla_force_host_platform_device_count={DEVICES_PER_PROCESS}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _LEARNER, str(index), str(count), str(port)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    printed = []
    try:
        for process in processes:
            output, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors[-3000:]
            printed.append(json.loads(output.splitlines()[-1]))
    finally:
        for process in processes:
            process.kill()
    return printed


@pytest.mark.slow
def test_two_processes_with_half_a_batch_each_equal_one():
    (whole,), parts = run_learners(1), run_learners(2)
    for part in parts:
        assert part["steps"] == whole["steps"] == 3
        np.testing.assert_allclose(part["losses"], whole["losses"], rtol=1e-5)
        for own, expected in zip(part["state"], whole["state"], strict=True):
            np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5)
    assert parts[0]["state"] == parts[1]["state"]
    # Each process sends the priorities of its own items.
    joined = [
        (sum((keys for keys, _ in sent), []), sum((values for _, values in sent), []))
        for sent in zip(*(part["sent"] for part in parts), strict=True)
    ]
    for (keys, values), (all_keys, all_values) in zip(joined, whole["sent"], strict=True):
        assert keys == all_keys and len(keys) == len(set(keys))
        np.testing.assert_allclose(values, all_values, rtol=1e-5, atol=1e-5)
