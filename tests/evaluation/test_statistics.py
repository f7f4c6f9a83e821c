"""Statistics against SciPy, and intervals against what they promise."""

import numpy as np
import pytest
import scipy.stats

from mukoe.evaluation.statistics import (
    bootstrap_interval,
    iqm,
    mean,
    percentile_interval,
    score_statistics,
)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 99, 100])
def test_iqm_is_the_trimmed_mean(count):
    values = np.random.default_rng(count).normal(size=(3, count))
    np.testing.assert_allclose(iqm(values), scipy.stats.trim_mean(values, 0.25, axis=1))


def test_iqm_by_hand():
    assert iqm(np.array([100.0, 2.0, 3.0, -100.0])) == 2.5
    assert iqm(np.array([1.0, 2.0, 3.0, 1000.0, -5.0])) == 2.0  # floor(5 / 4) = 1 off each end


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
    monkeypatch.setattr("mukoe.evaluation.statistics._MAX_DRAWN", 250)
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


def test_score_statistics():
    scores = np.random.default_rng(5).normal(size=40)
    found = score_statistics(scores, np.random.default_rng(0))
    again = score_statistics(scores, np.random.default_rng(0))
    assert found == again
    np.testing.assert_allclose(
        (found.mean, found.std, found.median),
        (sum(scores) / 40, np.sqrt(sum((scores - sum(scores) / 40) ** 2) / 40), np.median(scores)),
    )
    assert found.ci95[0] < found.mean < found.ci95[1]
    assert found.iqm_ci95[0] < found.iqm < found.iqm_ci95[1]
    alone = score_statistics([7.0], np.random.default_rng(0))
    assert (alone.mean, alone.std, alone.ci95) == (7.0, 0.0, (7.0, 7.0))
