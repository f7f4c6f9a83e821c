"""Numbers as text."""

import numpy as np
import pytest

from mukoe.viewing.inspected_agent import format_action
from mukoe.viewing.numbers import format_number, format_sum


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (-4e-4, "0.000"),
        (-6e-4, "-0.001"),
        (99.1234, "99.123"),
        (-123.456, "-123.5"),
        (13_022.123, "13022"),
        (float("nan"), "nan"),
    ],
)
def test_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0, "0"),
        (-1.0, "-1"),
        (0.1, "0.1"),
        (7.003e-5, "0.0001"),
        (-1e-9, "0.0000"),
        (0.000385967, "0.0004"),
        (-0.123456789, "-0.1235"),
        (12_345.678, "12345.7"),
    ],
)
def test_rewards_and_returns_have_few_characters(value, text):
    assert format_sum(value) == text


def test_continuous_actions():
    assert format_action(np.array([-0.001, -0.5]), []) == "[0.00 -0.50]"
