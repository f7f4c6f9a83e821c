import pytest

from mukoe.errors import UserError
from mukoe.sweeps.seeds import parse_seeds


@pytest.mark.parametrize(
    "text, seeds",
    [("0..4", (0, 1, 2, 3, 4)), ("0,3,7", (0, 3, 7)), ("5", (5,)), ("0..1, 7..8", (0, 1, 7, 8))],
)
def test_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "no list of seeds"),
        ("a", "no list of seeds"),
        ("-1..2", "no list of seeds"),
        ("1..", "no list of seeds"),
        ("0,,1", "no list of seeds"),
        ("0.5", "no list of seeds"),
        ("4..0", "as 0..4"),
        ("0..2,1", "repeats seed 1"),
        ("4294967296", "at most 4294967295"),
        ("0..4000000000", "more than 1000"),
        ("0..999,1000", "more than 1000"),
    ],
)
def test_other_texts_are_refused(text, expected):
    with pytest.raises(UserError, match=expected):
        parse_seeds(text)
