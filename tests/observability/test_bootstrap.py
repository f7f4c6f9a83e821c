"""Bootstrap intervals against SciPy, all resamples and their nominal coverage."""

import itertools

import numpy as np
import pytest
import scipy.stats

from mukoe.evaluation.scores import iqm
from mukoe.observability.bootstrap import bootstrap_interval, mean, percentile_interval


def all_resamples(values):
    """Means of every resample of N values, of which there are N to the power N."""
    return np.array([np.mean(draw) for draw in itertools.product(values, repeat=len(values))])


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0, 9.0], [0.0, 0.0, 1.0, 1.0, 5.0]])
def test_bootstrap_agrees_with_all_resamples(values):
    exact = all_resamples(values)
    low, high = bootstrap_interval(
        np.array(values), mean, np.random.default_rng(0), num_resamples=40_000
    )
    # The means are few and far apart, so their ranks are compared: an end of the interval
    # must be where the exact distribution passes 2.5% and 97.5%.
    for end, part in ((low, 0.025), (high, 0.975)):
        assert np.mean(exact < end - 1e-9) <= part + 0.004
        assert np.mean(exact <= end + 1e-9) >= part - 0.004


def test_bootstrap_of_many_is_near_the_normal_interval():
    values = np.random.default_rng(1).normal(5.0, 2.0, size=200)
    low, high = bootstrap_interval(values, mean, np.random.default_rng(0), num_resamples=20_000)
    half = 1.96 * values.std() / np.sqrt(200)
    np.testing.assert_allclose([low, high], values.mean() + [-half, half], atol=0.02)


def test_leading_axes_share_their_resamples():
    """All points of a band are resampled with the same seeds."""
    values = np.random.default_rng(2).normal(size=(3, 5))
    first, second = (bootstrap_interval(values, mean, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    scaled = bootstrap_interval(3 * values + 1, mean, np.random.default_rng(0))
    np.testing.assert_allclose(np.array(scaled), 3 * np.array(first) + 1)
    alone = bootstrap_interval(values[1], mean, np.random.default_rng(0))
    np.testing.assert_array_equal(np.array(alone), np.array(first)[:, 1])


@pytest.mark.parametrize("statistic", [mean, iqm])
def test_interval_is_that_of_scipy(statistic):
    values = np.random.default_rng(0).gamma(2.0, size=60)
    low, high = bootstrap_interval(
        values, statistic, np.random.default_rng(1), num_resamples=20_000
    )
    theirs = scipy.stats.bootstrap(
        (values,),
        lambda x, axis: statistic(x),
        method="percentile",
        n_resamples=20_000,
        random_state=2,
    ).confidence_interval
    np.testing.assert_allclose((low, high), theirs, atol=0.02)


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        low, high = bootstrap_interval(rng.normal(size=50), mean, rng, num_resamples=400)
        hits += low <= 0.0 <= high
    assert 0.90 < hits / 400 < 0.98


def test_strata_keep_their_sizes():
    """Two seats with different but constant scores: nothing is uncertain."""
    values = np.array([1.0] * 10 + [-1.0] * 30)
    strata = np.array([0] * 10 + [1] * 30)
    rng = np.random.default_rng(0)
    assert bootstrap_interval(values, mean, rng, strata) == (-0.5, -0.5)
    low, high = bootstrap_interval(values, mean, rng)
    assert low < -0.5 < high


def test_many_values_are_drawn_in_chunks(monkeypatch):
    monkeypatch.setattr("mukoe.observability.bootstrap._MAX_DRAWN", 250)
    values = np.random.default_rng(0).normal(size=100)
    sizes = []

    def statistic(x):
        sizes.append(len(x))
        return mean(x)

    bootstrap_interval(values, statistic, np.random.default_rng(0), num_resamples=5)
    assert sizes == [2, 2, 1]


def test_percentile_interval():
    low, high = percentile_interval(np.arange(101.0)[:, None], confidence=0.9)
    np.testing.assert_allclose((low, high), ([5.0], [95.0]))
