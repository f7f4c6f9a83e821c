"""Statistics of scores against SciPy."""

import numpy as np
import pytest
import scipy.stats

from mukoe.evaluation.scores import iqm, score_statistics


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 99, 100])
def test_iqm_is_the_trimmed_mean(count):
    values = np.random.default_rng(count).normal(size=(3, count))
    np.testing.assert_allclose(iqm(values), scipy.stats.trim_mean(values, 0.25, axis=1))


def test_iqm_by_hand():
    assert iqm(np.array([100.0, 2.0, 3.0, -100.0])) == 2.5
    assert iqm(np.array([1.0, 2.0, 3.0, 1000.0, -5.0])) == 2.0  # floor(5 / 4) = 1 off each end


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
