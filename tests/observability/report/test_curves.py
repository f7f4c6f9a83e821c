"""Curves and their mean over seeds, against explicit sums."""

import numpy as np
import pytest

from mukoe.observability.report.curves import (
    Curve,
    carry,
    curve_of,
    first_reached,
    is_wide,
    moving_mean,
    over_seeds,
    seed_interval,
    thin,
)
from mukoe.observability.report.runs import load_run
from tests.observability.fake_runs import make_run, write_log


def test_few_seeds_have_their_extremes():
    low, high, interval = seed_interval(np.array([[1.0, 5.0], [3.0, 4.0], [2.0, 6.0]]))
    np.testing.assert_array_equal([low, high], [[1.0, 4.0], [3.0, 6.0]])
    assert interval == "lowest to highest seed"
    assert "bootstrap" in seed_interval(np.zeros((4, 1)))[2]


def test_a_solved_run_keeps_its_final_value():
    short = Curve(np.array([0.0, 10.0]), np.array([0.0, 8.0]))
    long = Curve(np.array([0.0, 40.0]), np.array([0.0, 4.0]))
    band = over_seeds([carry(short, 40.0), long], num_points=5)
    np.testing.assert_allclose(band.x, [0, 10, 20, 30, 40])
    np.testing.assert_allclose(band.mean, [0.0, 4.5, 5.0, 5.5, 6.0])
    assert carry(long, 40.0) is long
    many = Curve(np.arange(1000.0), np.arange(1000.0))
    carried = carry(many, 2000.0)
    assert len(carried.x) == 100 and carried.x[-1] == 2000.0 and carried.x[-2] < 1000.0


def test_a_figure_of_very_different_lengths_is_wide():
    def ending(*ends):
        return [Curve(np.array([1.0, end]), np.zeros(2)) for end in ends]

    assert is_wide(ending(5.0, 30.0)) and is_wide(ending(6e3, 6e3, 1e6, 1e6))
    assert not is_wide(ending(6.0, 7.0, 20.0)) and not is_wide(ending(7.0)) and not is_wide([])
    assert not is_wide([Curve(np.zeros(0), np.zeros(0)), *ending(5.0)])


def test_the_mean_over_seeds_has_the_details_of_a_logarithmic_axis():
    short = Curve(np.array([0.0, 10.0, 1000.0]), np.array([0.0, 8.0, 8.0]))
    band = over_seeds([short, short], num_points=4, logarithmic=True)
    np.testing.assert_allclose(band.x, [10, 46.4158883, 215.443469, 1000])
    np.testing.assert_allclose(band.mean, 8.0)


def test_mean_over_seeds_where_all_have_data():
    first = Curve(np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 20.0]))
    second = Curve(np.array([5.0, 15.0]), np.array([1.0, 1.0]))
    band = over_seeds([first, second], num_points=3)
    np.testing.assert_array_equal(band.x, [5.0, 10.0, 15.0])
    np.testing.assert_allclose(band.mean, [3.0, 5.5, 8.0])
    np.testing.assert_allclose(band.low, [1.0, 1.0, 1.0])
    np.testing.assert_allclose(band.high, [5.0, 10.0, 15.0])


def test_noise_is_averaged_before_seeds_are():
    x = np.arange(4000.0)
    noise = np.where(x % 2 == 0, 1.0, -1.0)
    band = over_seeds([Curve(x, noise), Curve(x, noise)], num_points=100)
    np.testing.assert_allclose(band.mean, 0.0, atol=1e-12)


def test_no_mean_of_seeds_that_share_nothing():
    early = Curve(np.array([0.0, 1.0]), np.zeros(2))
    late = Curve(np.array([2.0, 3.0]), np.zeros(2))
    empty = Curve(np.zeros(0), np.zeros(0))
    assert over_seeds([early]) is None
    assert over_seeds([early, late]) is None
    assert over_seeds([early, empty]) is None


@pytest.mark.parametrize("window", [1, 2, 3, 6, 50])
def test_moving_mean_by_its_definition(window):
    values = np.random.default_rng(0).normal(size=12)
    half = window // 2
    expected = []
    for i in range(12):
        reach = min(half, i, 11 - i)
        expected.append(np.mean(values[i - reach : i + reach + 1]))
    np.testing.assert_allclose(moving_mean(values, window), expected)
    assert moving_mean(np.zeros(0), window).size == 0


def test_thinning_averages_neighbours():
    curve = Curve(np.arange(10.0), np.arange(10.0) ** 2)
    assert thin(curve, 10) is curve
    thinned = thin(curve, 5)
    np.testing.assert_allclose(thinned.x, [0.5, 2.5, 4.5, 6.5, 8.5])
    np.testing.assert_allclose(thinned.y, [0.5, 6.5, 20.5, 42.5, 72.5])


def test_curve_over_steps_and_minutes(tmp_path):
    run = load_run(make_run(tmp_path / "a", returns=(10.0, 50.0, 40.0)))
    curve = curve_of(run, "evaluator", "episode_return", "actor_steps")
    np.testing.assert_array_equal(curve.x, [1000, 2000, 3000])
    np.testing.assert_array_equal(curve.y, [10.0, 50.0, 40.0])
    curve = curve_of(run, "evaluator", "episode_return", "minutes")
    np.testing.assert_allclose(curve.x, [5.0, 10.0, 15.0])


def test_curve_of_several_actors_and_rows_without_a_value(tmp_path):
    workdir = make_run(tmp_path / "a", num_actors=0)
    write_log(workdir, "actor_0", [{"actor_steps": s, "speed": s} for s in (0, 20, 40, 60)])
    rows = [{"actor_steps": 10, "speed": 10}, {"actor_steps": 30}, {"actor_steps": 50, "speed": 50}]
    write_log(workdir, "actor_1", rows)
    curve = curve_of(load_run(workdir), "actor", "speed", "actor_steps")
    np.testing.assert_array_equal(curve.x, [0, 10, 20, 40, 50, 60])
    expected = [0, 10, np.mean([10, 20, 40]), np.mean([20, 40, 50]), 50, 60]
    np.testing.assert_allclose(curve.y, expected)
    assert curve_of(load_run(workdir), "actor", "nothing", "actor_steps").x.size == 0


def test_first_evaluation_at_a_return(tmp_path):
    run = load_run(make_run(tmp_path / "a", returns=(10.0, 50.0, 40.0, 60.0)))
    assert first_reached(run, 50.0, "actor_steps") == (2000.0, pytest.approx(10.0))
    assert first_reached(run, 55.0, "actor_steps") == (4000.0, pytest.approx(20.0))
    assert first_reached(run, 61.0, "actor_steps") is None
