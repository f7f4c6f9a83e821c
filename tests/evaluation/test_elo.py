"""Elo against the closed form of two players, another optimiser, and known strengths."""

import numpy as np
import pytest
import scipy.optimize

from mukoe.evaluation.elo import bootstrap_elo, fit_elo


def two_players(won: int, drawn: int, lost: int) -> np.ndarray:
    results = np.zeros((2, 2, 3))
    results[1, 0] = won, drawn, lost
    return results


@pytest.mark.parametrize("record", [(7, 2, 1), (0, 5, 0), (0, 0, 30), (100, 0, 0)])
def test_two_players_in_closed_form(record):
    won, drawn, lost = record
    score, other = won + drawn / 2, lost + drawn / 2
    expected = 400 * np.log10((score + 0.5) / (other + 0.5))
    np.testing.assert_allclose(fit_elo(two_players(*record)), [0.0, expected], atol=1e-6)


def test_seats_are_the_same_games():
    first = two_players(7, 2, 1)
    second = np.zeros((2, 2, 3))
    second[0, 1] = 1, 2, 7
    np.testing.assert_allclose(fit_elo(first), fit_elo(second))


def random_results(rng, players: int, games: int) -> tuple[np.ndarray, np.ndarray]:
    """Games of players of known ratings, independent of the seat and without draws."""
    ratings = np.concatenate([[0.0], rng.normal(0, 200, players - 1)])
    results = np.zeros((players, players, 3), int)
    for i in range(players):
        for j in range(players):
            if i != j:
                probability = 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / 400))
                won = rng.binomial(games, probability)
                results[i, j] = won, 0, games - won
    return ratings, results


def test_fit_is_that_of_another_optimiser():
    rng = np.random.default_rng(0)
    _, results = random_results(rng, 5, 6)
    results[..., 1] += rng.integers(0, 4, (5, 5)) * (results.sum(-1) > 0)
    results[0, 3] = results[3, 0] = 0

    def loss(free):
        ratings = np.concatenate([free[:2], [0.0], free[2:]])
        total = 0.0
        for i in range(5):
            for j in range(i):
                won = results[i, j, 0] + results[j, i, 2]
                lost = results[i, j, 2] + results[j, i, 0]
                half = (results[i, j, 1] + results[j, i, 1]) / 2
                if won + lost + half == 0:
                    continue
                p = 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / 400))
                total -= (won + half + 0.5) * np.log(p) + (lost + half + 0.5) * np.log(1 - p)
        return total

    best = scipy.optimize.minimize(loss, np.zeros(4), method="Nelder-Mead", options={
        "maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-6, "fatol": 1e-12
    }).x  # fmt: skip
    expected = np.concatenate([best[:2], [0.0], best[2:]])
    np.testing.assert_allclose(fit_elo(results, anchor=2), expected, atol=0.01)


def test_known_ratings_come_back():
    ratings, results = random_results(np.random.default_rng(1), 6, 3_000)
    np.testing.assert_allclose(fit_elo(results), ratings, atol=20)


def test_intervals_cover_known_ratings():
    covered = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        ratings, results = random_results(rng, 4, 60)
        found = bootstrap_elo(results, rng, num_resamples=300)
        np.testing.assert_array_equal((found.rating[0], found.low[0], found.high[0]), 0.0)
        assert np.all(found.low <= found.high)
        covered += list((found.low <= ratings) & (ratings <= found.high))[1:]
    assert np.mean(covered) > 0.8


def test_undefeated_players_are_finite_and_ordered():
    results = np.zeros((3, 3, 3))
    results[1, 0] = 50, 0, 0
    results[2, 1] = 50, 0, 0
    results[2, 0] = 50, 0, 0
    ratings = fit_elo(results)
    assert 0 == ratings[0] < ratings[1] < ratings[2] < 3_000


def test_batches_are_fitted_one_by_one():
    _, results = random_results(np.random.default_rng(2), 4, 5)
    batch = np.stack([results, 3 * results, results[:, :, ::-1]])
    fitted = fit_elo(batch)
    for index, one in enumerate(batch):
        np.testing.assert_allclose(fitted[index], fit_elo(one), atol=1e-6)


def test_players_without_a_chain_of_games_are_refused():
    results = np.zeros((4, 4, 3))
    results[0, 1, 0] = results[2, 3, 0] = 5
    with pytest.raises(ValueError, match="chain of games"):
        fit_elo(results)
