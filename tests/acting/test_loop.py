"""The loop of two parts against one loop, and where the time goes."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.acting.actor import Actor
from mukoe.acting.loop import DoubleBufferedLoop, EnvironmentLoop
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.observability.timings import Timings


class Walk(dm_env.Environment):
    """The observation is (stream, sum of the actions); an episode ends above a limit."""

    def __init__(self, stream):
        self._stream = stream
        self._sum = 0

    def observe(self):
        return np.int64([self._stream, self._sum])

    def reset(self):
        self._sum = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self._sum += int(action)
        if self._sum > 20 + self._stream:
            return dm_env.termination(float(action), self.observe())
        return dm_env.transition(float(action), self.observe())

    def observation_spec(self):
        return specs.Array((2,), np.int64)

    def action_spec(self):
        return specs.DiscreteArray(10)


class CountingRunner:
    """A policy with a memory: the steps of the episode so far."""

    learner_steps = 0

    def __init__(self, num_envs, log=None, name=""):
        self._steps = np.zeros(num_envs, int)
        self._log = [] if log is None else log
        self._name = name
        self.updates = 0

    def submit(self, observation, is_first):
        self._log.append(f"ask {self._name}")
        self._steps = np.where(is_first, 0, self._steps + 1)
        action = (1 + observation.sum(axis=1) + 3 * self._steps) % 7 + 1
        extras = {"value": action * 10.0, "depth": self._steps * 1.0}

        def wait():
            self._log.append(f"get {self._name}")
            return action.astype(np.int32), extras

        return wait

    def update(self, wait=False):
        self.learner_steps += 1


class Rows:
    def __init__(self):
        self.rows = []

    def add_first(self, timestep):
        self.rows.append(("first", timestep.observation.tolist()))

    def add(self, action, timestep, extras, final_extras=None):
        seen = timestep.observation.tolist()
        self.rows.append(
            (int(action), float(timestep.reward), float(timestep.discount), seen)
            + (dict(extras), final_extras and dict(final_extras))
        )


def make_part(streams, timings=None, log=None, name=""):
    environment = SyncVectorEnvironment([Walk(stream) for stream in streams])
    if log is not None:
        step = environment.step
        environment.step = lambda actions: log.append(f"step {name}") or step(actions)
    adders = [Rows() for _ in streams]
    runner = CountingRunner(len(streams), log, name)
    return EnvironmentLoop(environment, Actor(runner, adders, ["value"]), timings), adders


@pytest.mark.parametrize("streams", [[[0], [1]], [[0, 1, 2], [3, 4]]])
def test_every_stream_records_what_one_loop_would_have_recorded(streams):
    whole, expected = make_part(sum(streams, []))
    parts = [make_part(part) for part in streams]
    double = DoubleBufferedLoop([loop for loop, _ in parts])
    results = [[], []]
    for _ in range(40):
        results[0] += whole.step()
        for _ in streams:
            results[1] += double.step()
    rows = [adder.rows for _, adders in parts for adder in adders]
    assert rows == [adder.rows for adder in expected]
    assert sum(row[-1] is not None and row[0] != "first" for row in rows[0]) >= 3  # Ends.
    assert sorted(results[1]) == sorted(results[0]) and len(results[0]) > 3
    assert {r.environment for r in results[1]} == set(range(len(rows)))
    assert double.progress == whole.progress
    assert double.learner_steps == whole.learner_steps == 40
    assert set(double.statistics) == {"depth"}


def test_one_part_steps_while_the_other_waits():
    log = []
    parts = [make_part([index], None, log, str(index))[0] for index in range(2)]
    double = DoubleBufferedLoop(parts)
    for _ in range(4):
        double.step()
    assert log == [
        *("ask 0", "ask 1"),
        *("get 0", "step 0", "ask 0"),
        *("get 1", "step 1", "ask 1"),
        *("get 0", "step 0", "ask 0"),
        *("get 1", "step 1", "ask 1"),
    ]


def test_statistics_are_means_over_the_parts():
    parts = [make_part([0, 1])[0], make_part([2, 3])[0]]
    double = DoubleBufferedLoop(parts)
    assert double.statistics == {}
    for _ in range(3):
        double.step()
    # The first part has had its second step, the other one its first.
    assert double.statistics == {"depth": 0.5}


def test_shared_timings_hold_the_time_of_both_parts_once():
    timings = Timings()
    double = DoubleBufferedLoop([make_part([i], timings)[0] for i in range(2)])
    for _ in range(3):
        double.step()
    assert double.timings is timings
    assert set(timings.seconds) == {"environment", "policy", "recording", "other"}
    assert sum(timings.shares().values()) == pytest.approx(1.0)
    assert timings.laps["recording"] == timings.laps["environment"] - 2 == 3  # Two resets.
