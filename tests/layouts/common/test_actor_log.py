"""Rows of an actor's log, and the division of the policy's time."""

import pytest

from mukoe.acting.loop import LoopProgress
from mukoe.acting.network_share import divide_policy
from mukoe.layouts.common.actor_log import ActorLog
from mukoe.observability.timings import Timings


class Loop:
    """Has made 10 policy calls of 0.2 seconds after the first."""

    progress = LoopProgress(40, 160)
    learner_steps = 0
    statistics = {}

    def __init__(self):
        self.timings = Timings()
        self.timings.seconds = {"policy": 2.0, "environment": 1.0, "other": 1.0}
        self.timings.laps = {"policy": 20, "environment": 10, "other": 10}


class Rows(list):
    def write(self, row):
        self.append(row)

    def close(self):
        pass


def test_the_policy_is_divided_by_what_the_network_takes_of_a_call():
    measured = []
    rows = Rows()
    log = ActorLog(rows, lambda: measured.append(1) or 0.15)
    for _ in range(2):
        log.write(Loop(), {})
    assert len(measured) == 1
    shares = {name: value for name, value in rows[1].items() if name.startswith("time_")}
    # Of the policy's half, 0.15 of each 0.2 seconds.
    assert shares == pytest.approx(
        {"time_network": 0.375, "time_tree": 0.125, "time_environment": 0.25, "time_other": 0.25}
    )


def test_the_network_takes_no_more_than_the_policy():
    log = ActorLog(Rows(), lambda: 1.0)
    log.write(Loop(), {})
    assert log.time_shares(Loop())["tree"] == 0.0


def test_without_a_measurement_the_policy_stays_whole():
    log = ActorLog(Rows())
    log.write(Loop(), {})
    assert log.time_shares(Loop()) == {"policy": 0.5, "environment": 0.25, "other": 0.25}


def test_divided_shares_have_the_same_sum():
    assert divide_policy({"policy": 0.6, "other": 0.4}, 0.5) == {
        "network": 0.3,
        "tree": 0.3,
        "other": 0.4,
    }
    assert divide_policy({"waiting": 1.0}, 0.5) == {"network": 0, "tree": 0, "waiting": 1.0}
