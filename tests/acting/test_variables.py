"""Parameters for actors in the learner's process."""

import types

import jax
import numpy as np

from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import DeviceVariableSource, VariableClient
from mukoe.types import Policy, PolicyParams

DEVICE = jax.local_devices()[0]


def learner_with(value):
    network = {"w": jax.device_put(np.full(3, value, np.float32), DEVICE)}
    learner = types.SimpleNamespace(state=(network, jax.numpy.int32(value)))
    learner.device_variables = lambda: PolicyParams(*learner.state)
    return learner


def test_parameters_in_the_learners_process_are_not_copied():
    learner = learner_with(1)
    source = DeviceVariableSource(learner, DEVICE)
    (params,) = source.get_variables(["policy"])
    assert params.network["w"] is learner.state[0]["w"]
    # One object until the learner has newer ones.
    assert source.get_variables(["policy"])[0] is params
    learner.state = learner_with(2).state
    assert source.get_variables(["policy"])[0].network["w"] is learner.state[0]["w"]


def test_the_policy_is_compiled_once_for_parameters_on_a_device():
    traces = []

    def apply(params, key, observation, state):
        traces.append(1)
        return observation[:, 0].astype(int), {}, (state + params.network["w"][0],)[0]

    policy = Policy(apply, lambda num_envs: jax.numpy.zeros(num_envs), {})
    learner = learner_with(1)
    variables = VariableClient(DeviceVariableSource(learner, DEVICE))
    runner = LocalRunner(policy, variables, jax.random.PRNGKey(0), 2)
    observation, is_first = np.ones((2, 1), np.float32), np.zeros(2, bool)
    for value in (1, 1, 5):
        learner.state = learner_with(value).state
        variables.update()
        runner.submit(observation, is_first)()
        assert runner.learner_steps == value
    runner.restore(runner.state())
    runner.submit(observation, is_first)()
    assert len(traces) == 1
    np.testing.assert_allclose(runner.state()["memory/0"], 1 + 1 + 5 + 5)
