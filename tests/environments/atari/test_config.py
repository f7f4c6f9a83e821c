"""Invalid settings of the Atari games."""

import pytest

from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.roms import game_names
from mukoe.errors import UserError


def test_unknown_games_suggest_similar_names():
    with pytest.raises(UserError, match="no Atari game 'MsPackman'; did you mean MsPacman"):
        AtariConfig("MsPackman")
    with pytest.raises(UserError, match="known: Adventure, "):
        AtariConfig("###")
    assert {"MsPacman", "Breakout", "Pong"} < set(game_names())


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"frame_skip": 0}, "frame_skip must be from 1 to 2147483647, not 0"),
        ({"height": 0}, "height must be from 1 to 32767, not 0"),
        ({"noop_max": -1}, "noop_max must be from 0 to 2147483647, not -1"),
        ({"max_frames": 0}, "max_frames must be from 1 to 2147483647, not 0"),
        ({"noop_max": 30, "max_frames": 30}, r"max_frames must be more than noop_max \(30\)"),
        ({"sticky_actions": 1.5}, "sticky_actions must be at least 0 and below 1, not 1.5"),
        ({"resize": "cubic"}, "resize must be one of area, linear, not 'cubic'"),
    ],
)
def test_invalid_fields_are_rejected(fields, message):
    with pytest.raises(UserError, match=message):
        AtariConfig("Breakout", **fields)
