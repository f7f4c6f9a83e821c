import dataclasses

import pytest

from mukoe.errors import UserError
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"algorithm": "alphazero"},
            "unknown search algorithm 'alphazero': known are muzero, gumbel",
        ),
        ({"algorithm": "mukoe.search.puct:nothing"}, "no attribute 'nothing'"),
        ({"num_simulations": -1}, "num_simulations must be from 0 to 2147483646, not -1"),
        ({"max_depth": 0}, "max_depth must be from 1 to 2147483646, not 0"),
        ({"max_num_considered_actions": 0}, "actions must be at least 1, not 0"),
        ({"dirichlet_alpha": 0.0}, "SearchConfig.dirichlet_alpha must be above 0, not 0.0"),
        (
            {"dirichlet_fraction": 1.5},
            "SearchConfig.dirichlet_fraction must be from 0 to 1, not 1.5",
        ),
        ({"temperature_schedule": ()}, "ascend from 0"),
        ({"temperature_schedule": ((5, 1.0),)}, "ascend from 0"),
        ({"temperature_schedule": ((0, 1.0), (9, 0.5), (9, 0.2))}, "ascend from 0"),
        ({"temperature_schedule": ((0, 1.0), (2**31, 0.5))}, "from 0 to 2147483647.*2147483648"),
        ({"temperature_schedule": ((0, -1.0),)}, "a number .at least 0.*-1.0"),
        ({"temperature_schedule": ((0, float("nan")),)}, "a number .at least 0.*nan"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SearchConfig(), **settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"scope": "game"},
            "QNormalizationConfig.scope must be one of node, tree, known, not 'game'",
        ),
        ({"floor": 0.0}, "QNormalizationConfig.floor must be above 0, not 0.0"),
    ],
)
def test_impossible_normalizations_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        QNormalizationConfig(**settings)
