"""Calls of an adder, buffered and replayed."""

import dm_env
import numpy as np

from mukoe.layouts.sebulba.buffered_adder import BufferedAdder


class Recorder:
    """Adder that records its calls."""

    def __init__(self):
        self.calls = []

    def add_first(self, timestep):
        self.calls.append(("add_first", timestep.observation.tolist()))

    def add(self, action, next_timestep, extras, final_extras=None):
        self.calls.append(("add", action, next_timestep.observation.tolist(), final_extras))

    def reset(self, timeout_ms=None):
        self.calls.append(("reset", timeout_ms))


def test_calls_are_replayed_in_order_with_the_observations_of_their_time():
    adder, reused = BufferedAdder(), np.zeros(1)
    adder.add_first(dm_env.restart(reused))
    reused[0] = 1.0
    adder.add(4, dm_env.termination(1.0, reused), {}, {"value": 2})
    taken = adder.take()
    reused[0] = 2.0
    adder.reset()
    recorder = Recorder()
    taken.replay(recorder)
    adder.take().replay(recorder)
    adder.take().replay(recorder)
    assert recorder.calls == [
        ("add_first", [0.0]),
        ("add", 4, [1.0], {"value": 2}),
        ("reset", None),
    ]
