"""The declaration: what it accepts, and the types of a row."""

import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.replay.declaration import zero_row
from mukoe.types import Row
from tests.replay.episodes import ROW_SPEC, declare


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence_length": 1},
        {"history": -1},
        {"observed_rows": 0},
        {"observed_rows": 7},
        {"batch_size": 0},
        {"period": 0},
        {"period": 4},
        {"online_fraction": -0.1},
        {"online_fraction": 1.0},
        {"samples_per_insert": 5.0, "online_fraction": 0.25, "min_size": 16},
        {"min_size": 15, "online_fraction": 0.25},
        {"min_size": 0},
        {"capacity": 9, "min_size": 10},
        {"samples_per_insert": 0.0},
        {"samples_per_insert_tolerance": 0.0},
        {"sampler": "best"},
        {"priority_exponent": -1.0},
        {"initial_priority": lambda rows: 1.0},
        {"table": ""},
    ],
)
def test_what_cannot_be_is_refused_by_name(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        declare(**changes)


def test_the_error_buffer_lets_a_whole_batch_through():
    small = declare(samples_per_insert=0.5, min_size=10, batch_size=32)
    large = declare(samples_per_insert=8.0, min_size=1000, batch_size=32)
    assert small.error_buffer == 64
    assert large.error_buffer == pytest.approx(0.1 * 8 * 1000)


def test_row_types():
    zero = zero_row(ROW_SPEC)
    assert isinstance(zero, Row)
    assert (zero.action.dtype, zero.action.shape) == (np.int32, ())
    for field in (zero.reward, zero.discount, zero.mask):
        assert (field.dtype, field.shape) == (np.float32, ())
    assert zero.observation.shape == (3,)
    assert sorted(zero.extras) == ["search_policy", "search_value"]
    assert not zero.extras["search_policy"].any()
