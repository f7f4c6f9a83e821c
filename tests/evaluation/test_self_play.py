"""Diagnosis of self-play from constructed games."""

import dataclasses

import numpy as np
import pytest

from mukoe.evaluation.elo import bootstrap_elo
from mukoe.evaluation.ladder import Ladder, LadderConfig
from mukoe.evaluation.matches import Games
from mukoe.evaluation.players import Player
from mukoe.evaluation.self_play import (
    diagnose_self_play,
    effective_number,
    find_cycles,
    openings_svg,
    self_play_summary,
    self_play_text,
    strength_svg,
)

NAMES = ["random", "step 1", "step 2", "step 3"]
HOURS = {"step 1": 0.5, "step 2": 1.0, "step 3": 1.5}


def counts(*scores, games=100, first=0.0):
    """Results `[4, 4, 3]` with the scores of pairs (01, 02, 03, 12, 13, 23), by both seats.

    The first mover's score is higher by `first`.
    """
    results = np.zeros((4, 4, 3), np.int64)
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for (i, j), score in zip(pairs, scores, strict=True):
        for a, b, share in ((i, j, score), (j, i, 1.0 - score)):
            wins = round(games * np.clip(share + first, 0.0, 1.0))
            results[a, b] = wins, 0, games - wins
    return results


def ladder_of(results):
    players = [Player("random", id)]
    players += [Player(NAMES[i], id, actor_steps=100 * i, learner_step=i) for i in (1, 2, 3)]
    ratings = bootstrap_elo(results, np.random.default_rng(0), num_resamples=50)
    return Ladder("tic_tac_toe", players, results, ratings, LadderConfig())


def games_of(openings, first=1.0):
    """Games of each opening in both seats; the first mover has this score."""
    openings = np.asarray(openings)
    scores = np.full((2, len(openings)), first)
    scores[1] *= -1
    return Games(scores, np.zeros((2, len(openings))), np.stack([openings, openings]))


ONE = games_of([[0, 1, 2, 3]] * 8)
MANY = games_of([[i % 2, i, 0, 0] for i in range(8)], first=0.0)
TRANSITIVE = counts(0.1, 0.1, 0.1, 0.4, 0.3, 0.4)
CYCLE = counts(0.1, 0.1, 0.1, 0.7, 0.3, 0.7)


def diagnosis_of(results, first=ONE, last=MANY):
    games = {"step 1": first, "step 3": last}
    return diagnose_self_play(ladder_of(results), games, HOURS)


def test_effective_numbers_of_openings():
    assert effective_number(np.zeros((5, 2))) == pytest.approx(1.0)
    assert effective_number(np.arange(6)[:, None]) == pytest.approx(6.0)
    # Frequencies 3/4 and 1/4.
    expected = np.exp(0.75 * np.log(4 / 3) + 0.25 * np.log(4))
    assert effective_number(np.array([[0], [0], [0], [1]])) == pytest.approx(expected)


def test_openings_and_first_mover_of_each_checkpoint():
    narrow, wide = diagnosis_of(TRANSITIVE).openings
    assert narrow.effective == pytest.approx([1, 1, 1]) and wide.effective == pytest.approx(
        [2, 8, 8]
    )
    assert (narrow.games, narrow.actor_steps, wide.actor_steps) == (16, 100, 300)
    assert (narrow.first_score, narrow.low, narrow.high) == (1.0, 1.0, 1.0)
    assert wide.first_score == 0.5


def test_narrow_openings_are_named():
    assert "narrow" not in self_play_text(diagnosis_of(TRANSITIVE), ladder_of(TRANSITIVE))
    text = self_play_text(diagnosis_of(TRANSITIVE, MANY, ONE), ladder_of(TRANSITIVE))
    assert "openings: 1.0 different ones of 4 plies in 16 games of step 3: narrow; raise" in text


def test_a_cycle_is_found_in_its_direction_and_a_transitive_ladder_has_none():
    cycles, chance = find_cycles(TRANSITIVE, NAMES)
    assert (cycles, chance) == ([], 0)
    (cycle,), chance = find_cycles(CYCLE, NAMES)
    assert cycle.players == ("step 1", "step 2", "step 3") and chance == 0
    assert cycle.scores == pytest.approx((0.7, 0.7, 0.7)) and cycle.z > 5
    mirrored = counts(0.1, 0.1, 0.1, 0.3, 0.7, 0.3)
    (cycle,), _ = find_cycles(mirrored, NAMES)
    assert cycle.players == ("step 1", "step 3", "step 2")
    text = self_play_text(diagnosis_of(CYCLE), ladder_of(CYCLE))
    assert "step 1 beats step 2 beats step 3 beats step 1 (70%, 70%, 70%)" in text


def test_cycles_of_a_few_games_are_chance():
    few = counts(0.1, 0.1, 0.1, 0.6, 0.4, 0.6, games=10)
    cycles, chance = find_cycles(few, NAMES)
    assert (cycles, chance) == ([], 1)
    random = np.random.default_rng(0)
    found = 0
    for _ in range(200):  # Twelve equally strong players.
        results = random.multinomial(20, [0.4, 0.2, 0.4], size=(12, 12))
        results[np.arange(12), np.arange(12)] = 0
        found += bool(find_cycles(results, [str(i) for i in range(12)])[0])
    assert found <= 10


@pytest.mark.parametrize(
    ("first", "text"),
    [(0.0, "no advantage beyond chance"), (0.2, "an advantage of"), (-0.2, "a disadvantage of")],
)
def test_the_first_movers_score_does_not_depend_on_strength(first, text):
    results = counts(0.1, 0.1, 0.1, 0.3, 0.3, 0.3, first=first)
    diagnosis = diagnosis_of(results)
    assert diagnosis.first_score == pytest.approx(0.5 + first)
    assert diagnosis.low <= 0.5 + first <= diagnosis.high
    assert text in self_play_text(diagnosis, ladder_of(results))


def test_strength_over_hours():
    ladder = ladder_of(TRANSITIVE)
    diagnosis = diagnosis_of(TRANSITIVE)
    rise = ladder.ratings.rating[3] - ladder.ratings.rating[1]
    text = self_play_text(diagnosis, ladder)
    assert f"strength: {rise:+.0f} Elo from 100 to 300 agent steps" in text
    assert f"{rise / 1.0:+.0f} Elo per hour" in text
    without = dataclasses.replace(diagnosis, hours={})
    assert "per hour" not in self_play_text(without, ladder)


def test_pictures_and_json():
    diagnosis = diagnosis_of(CYCLE)
    summary = self_play_summary(diagnosis)
    assert summary["hours"] == HOURS and len(summary["cycles"]) == 1
    assert [len(each["effective"]) for each in summary["openings"]] == [3, 3]
    assert strength_svg(diagnosis, ladder_of(CYCLE)).count("<title>agent</title>") == 1
    assert openings_svg(diagnosis).count("</svg>") == 1
