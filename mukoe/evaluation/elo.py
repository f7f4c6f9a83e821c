"""Elo ratings from the results of games.

The Bradley-Terry model: a player that is rated `d` above another wins with probability
`1 / (1 + 10**(-d / 400))`. A draw counts as half a win for each (Hunter 2004, The Annals of
Statistics 32(1), "MM algorithms for generalized Bradley-Terry models"). The likelihood has no
maximum without an anchor, or for players without losses. So one player is anchored, and
draws are added to the results, as in R. Coulom's BayesElo.
"""

import dataclasses

import numpy as np

from mukoe.observability.bootstrap import CONFIDENCE, NUM_RESAMPLES, percentile_interval
from mukoe.types import Array

_ELO_PER_NAT = 400.0 / np.log(10.0)
_TOLERANCE = 1e-9
_MAX_STEPS = 200


@dataclasses.dataclass(frozen=True)
class EloRatings:
    """Ratings of `N` players.

    rating: `[N]` Elo ratings.
    low, high: `[N]` ends of the bootstrap interval.
    """

    rating: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def shifted(self, elo: float) -> "EloRatings":
        """Returns the ratings on a scale on which the anchor has the rating `elo`."""
        return EloRatings(self.rating + elo, self.low + elo, self.high + elo)


def fit_elo(results: Array, anchor: int = 0, added_draws: float = 1.0) -> np.ndarray:
    """Returns the maximum-likelihood ratings `[..., N]`.

    Args:
      results: `[..., N, N, 3]` counts of games. Entry `[i, j]` holds wins of `i`, draws and wins
        of `j` in the games that `i` began against `j`.
      anchor: index of the player with rating 0.
      added_draws: number of draws added to each pair with games.

    Raises:
      ValueError: a player has no chain of games to the anchor.
    """
    results = np.asarray(results, np.float64)
    wins = results[..., 0] + np.swapaxes(results[..., 2], -1, -2)
    draws = results[..., 1] + np.swapaxes(results[..., 1], -1, -2)
    scores = wins + 0.5 * draws
    played = (scores + np.swapaxes(scores, -1, -2)) > 0
    _check_linked(played, anchor)
    scores = scores + 0.5 * added_draws * played
    return _ELO_PER_NAT * _maximise(scores, anchor)


def bootstrap_elo(
    results: Array,
    rng: np.random.Generator,
    anchor: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> EloRatings:
    """Returns ratings with percentile bootstrap intervals.

    The games are resampled within each pair and seat.

    Args:
      results: `[N, N, 3]` counts of games, as in `fit_elo`.
      rng: generator of the resamples.
      anchor: index of the player with rating 0.
      num_resamples: number of bootstrap resamples.
      confidence: probability mass inside the interval.

    Raises:
      ValueError: a player has no chain of games to the anchor.
    """
    results = np.asarray(results, np.int64)
    games = results.sum(-1)
    shares = results / np.maximum(games, 1)[..., None]
    # Pairs without games draw zero times; their distribution is arbitrary.
    shares = np.where(games[..., None] > 0, shares, 1.0 / 3)
    resampled = rng.multinomial(games, shares, size=(num_resamples, *games.shape))
    low, high = percentile_interval(fit_elo(resampled, anchor), confidence)
    return EloRatings(fit_elo(results, anchor), low, high)


def _check_linked(played: np.ndarray, anchor: int) -> None:
    reached = np.zeros(played.shape[:-1], bool)
    reached[..., anchor] = True
    for _ in range(played.shape[-1]):
        reached = reached | np.any(played & reached[..., None, :], axis=-1)
    if not reached.all():
        raise ValueError("every player needs a chain of games to the anchor")


def _maximise(scores: np.ndarray, anchor: int) -> np.ndarray:
    """Returns the strengths `[..., N]` in nats, by Newton's method with step halving.

    The log-likelihood is concave, and strictly concave with one strength fixed.
    """
    strengths = np.zeros(scores.shape[:-1])
    free = np.arange(scores.shape[-1]) != anchor
    for _ in range(_MAX_STEPS):
        gradient, information = _derivatives(scores, strengths)
        step = np.zeros_like(strengths)
        step[..., free] = np.linalg.solve(
            information[..., free, :][..., free], gradient[..., free, None]
        )[..., 0]
        step = _halved(scores, strengths, step)
        strengths = strengths + step
        if np.max(np.abs(step), initial=0.0) < _TOLERANCE:
            return strengths
    raise ValueError("the ratings did not converge")


def _log_likelihood(scores: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    difference = strengths[..., :, None] - strengths[..., None, :]
    return -np.sum(scores * np.logaddexp(0.0, -difference), axis=(-2, -1))


def _derivatives(scores: np.ndarray, strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the gradient `[..., N]` and the information matrix `[..., N, N]`."""
    probability = 1.0 / (1.0 + np.exp(strengths[..., None, :] - strengths[..., :, None]))
    games = scores + np.swapaxes(scores, -1, -2)
    gradient = np.sum(scores - games * probability, axis=-1)
    weights = games * probability * (1.0 - probability)
    information = np.eye(scores.shape[-1]) * np.sum(weights, axis=-1)[..., None] - weights
    return gradient, information


def _halved(scores: np.ndarray, strengths: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Halves each step until it does not lower the likelihood."""
    before = _log_likelihood(scores, strengths)
    for _ in range(60):
        after = _log_likelihood(scores, strengths + step)
        worse = after < before - 1e-9 * np.abs(before)
        if not worse.any():
            break
        step = np.where(worse[..., None], step / 2, step)
    return step
