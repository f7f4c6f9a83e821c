"""Numbers and durations of the progress line."""

import pytest

from mukoe.terminal.progress_text import format_duration, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (45.0, "45"),
        (999, "999"),
        (999.7, "1.0k"),
        (12_345, "12.3k"),
        (99_960, "100k"),
        (999_400, "999k"),
        (999_600, "1.0M"),
        (1_234_567, "1.2M"),
        (2.5e9, "2.5G"),
        (-21_000, "-21.0k"),
        (3.2109, "3.21"),
        (0.0123, "0.0123"),
        (0.00012, "1e-04"),
        (123.4, "123"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_shortened(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (62, "1:02"), (3600, "1:00:00"), (360_000, "4d 04h")],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text
