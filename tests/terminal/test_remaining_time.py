"""Estimate of the remaining time."""

import pytest

from mukoe.terminal.remaining_time import RemainingTime


def estimates(fractions, spacing=1.0):
    estimate = RemainingTime()
    found = []
    for index, fraction in enumerate(fractions):
        estimate.add(index * spacing, fraction)
        found.append(estimate.seconds())
    return found


def test_no_estimate_in_the_first_seconds_and_then_that_of_the_mean_speed():
    found = estimates([index / 1000 for index in range(101)])
    assert found[:10] == [None] * 10
    assert found[100] == pytest.approx(900.0)


def test_no_estimate_while_the_speed_changes():
    """Eight seconds at a crawl, then at full speed."""
    slow = [index * 1e-6 for index in range(8)]
    found = estimates([*slow, *(slow[-1] + index / 1000 for index in range(1, 60))])
    assert found[:25] == [None] * 25
    assert found[-1] == pytest.approx(1_000, rel=0.3)


def test_work_in_bursts_is_averaged():
    """An evaluation of 20 s, in which the run does not advance, after 20 s of learning."""
    fractions = [min(20, index % 40) / 4000 + index // 40 * 20 / 4000 for index in range(400)]
    found = estimates(fractions)
    assert found[-1] == pytest.approx((1 - fractions[-1]) * 8000, rel=0.1)
    assert all(abs(a - b) < 0.35 * a for a, b in zip(found[80:], found[81:], strict=False))


def test_nothing_to_estimate():
    assert estimates([0.5] * 100)[-1] is None
    estimate = RemainingTime()
    for now in range(100):
        estimate.add(now, now / 200)
    assert estimate.seconds() is not None
    estimate.reset()
    assert estimate.seconds() is None
