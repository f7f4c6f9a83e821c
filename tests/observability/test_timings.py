import pytest

from mukoe.observability.timings import Timings, shares


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_every_moment_belongs_to_one_part_or_to_nobody():
    clock = Clock()
    timings = Timings(clock)
    for _ in range(2):
        clock.now += 5.0
        timings.start()
        clock.now += 1.0
        timings.lap("environment")
        clock.now += 3.0
        timings.lap("policy")
    assert timings.seconds == {"environment": 2.0, "policy": 6.0}
    assert timings.laps == {"environment": 2, "policy": 2}
    assert timings.shares() == {"environment": 0.25, "policy": 0.75}


def test_a_lap_can_take_a_share_and_leave_the_rest():
    clock = Clock()
    timings = Timings(clock)
    clock.now += 8.0
    timings.lap("transport", 0.25)
    clock.now += 4.0
    timings.lap("waiting")
    assert timings.seconds == pytest.approx({"transport": 2.0, "waiting": 10.0})


def test_shares_of_nothing():
    assert Timings().shares() == {}
    assert shares({"data": 0.0}) == {"data": 0.0}
