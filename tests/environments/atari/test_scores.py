"""Human-normalised scores."""

import pytest

from mukoe.environments.atari.roms import game_names
from mukoe.environments.atari.scores import ATARI_57, human_normalised_score
from mukoe.errors import UserError


def test_human_normalised_scores():
    assert len(ATARI_57) == 57
    assert set(ATARI_57) < set(game_names())
    # (15.0 - -20.7) / (14.6 - -20.7)
    assert human_normalised_score("Pong", 15.0) == pytest.approx(35.7 / 35.3)
    assert human_normalised_score("Breakout", 1.7) == 0.0
    with pytest.raises(UserError, match="did you mean Pong"):
        human_normalised_score("Pongg", 0.0)
