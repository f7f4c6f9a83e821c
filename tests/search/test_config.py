import dataclasses

import pytest

from mukoe.errors import UserError
from mukoe.search import QNormalizationConfig, SearchConfig


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"algorithm": "alphazero"},
            "unknown search algorithm 'alphazero': known are muzero, gumbel",
        ),
        ({"algorithm": "mukoe.search.puct:nothing"}, "no attribute 'nothing'"),
        ({"num_simulations": -1}, "search.num_simulations must not be negative, not -1"),
        ({"max_depth": 0}, "search.max_depth must be at least 1, not 0"),
        ({"max_num_considered_actions": 0}, "actions must be at least 1, not 0"),
        ({"dirichlet_alpha": 0.0}, "search.dirichlet_alpha must be positive, not 0.0"),
        ({"dirichlet_fraction": 1.5}, "search.dirichlet_fraction must be from 0 to 1, not 1.5"),
        ({"temperature_schedule": ()}, "ascend from 0"),
        ({"temperature_schedule": ((5, 1.0),)}, "ascend from 0"),
        ({"temperature_schedule": ((0, 1.0), (9, 0.5), (9, 0.2))}, "ascend from 0"),
        ({"temperature_schedule": ((0, 1.0), (2**31, 0.5))}, "at most 2147483647, not 2147483648"),
        ({"temperature_schedule": ((0, -1.0),)}, "temperatures must be 0 or more"),
        ({"temperature_schedule": ((0, float("nan")),)}, "temperatures must be 0 or more"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SearchConfig(), **settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"scope": "game"}, "unknown search.q_normalization.scope 'game'; known are node, tree"),
        ({"floor": 0.0}, "search.q_normalization.floor must be positive, not 0.0"),
    ],
)
def test_impossible_normalizations_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        QNormalizationConfig(**settings)
