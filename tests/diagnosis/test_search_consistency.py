"""Verdicts on searches that disagree with masks, discounts, backups and inputs."""

import numpy as np
import pytest

from mukoe.diagnosis.search_consistency import (
    judge_backup,
    judge_discounts,
    judge_inputs,
    judge_legal,
)

POLICY = np.array([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]])
VISITS = np.array([[7, 3, 0], [0, 0, 10]])
LEGAL = np.array([[True, True, False], [False, False, True]])


def test_a_mask_that_is_off_by_one_is_found():
    assert judge_legal(POLICY, VISITS, LEGAL).verdict == "ok"
    finding = judge_legal(POLICY, VISITS, np.roll(LEGAL, 1, axis=-1))
    assert finding.verdict == "fault" and finding.text.startswith("2 of 2 searches")
    assert judge_legal(POLICY, VISITS, None).verdict == "ok"
    none = np.zeros((2, 3), bool)  # Final observations.
    assert judge_legal(POLICY, VISITS, none).verdict == "ok"


@pytest.mark.parametrize(
    ("predicted", "environment", "verdict", "text"),
    [
        ([0.9, 0.9, 0.9], [1, 1, 0], "ok", ""),
        ([-0.9, -0.9], [-1, -1], "ok", ""),
        ([0.9, 0.9], [-1, -1], "fault", "the wrong sign in the search"),
        ([0.45, 0.9], [1, 1], "fault", "by 0.45, the returns by 0.9"),
        ([0.9], [0], "unknown", "successor"),
    ],
)
def test_discounts_of_the_search_are_those_of_the_returns(predicted, environment, verdict, text):
    finding = judge_discounts(np.array(predicted), np.array(environment), 0.9)
    assert finding.verdict == verdict and text in finding.text


def test_a_backup_without_the_change_of_sign_is_found():
    """Three visits: the network's value 1, and two of an action with reward 0 and value 0.5."""
    assert judge_backup(np.array([(1 - 2 * 0.5) / 3]), np.zeros(1), 1.0).verdict == "ok"
    assert judge_backup(np.array([(1 + 2 * 0.5) / 3]), np.zeros(1), 1.0).verdict == "fault"


def test_inputs_of_other_rows_are_found():
    values = np.random.default_rng(0).normal(size=100)
    assert judge_inputs(values, values + 1e-6).verdict == "ok"
    assert judge_inputs(values, np.roll(values, 1)).verdict == "fault"
    assert judge_inputs(np.zeros(100), np.zeros(100)).verdict == "unknown"
