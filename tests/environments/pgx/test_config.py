"""Invalid settings of pgx games."""

import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.errors import UserError
from tests.environments.pgx.games import LOWEST


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"game": "conect_four"}, "did you mean connect_four"),
        ({"game": "minatar-brekout"}, "did you mean minatar-breakout"),
        ({"game": "xyz"}, "known: tic_tac_toe, connect_four"),
        ({"game": "connect_four", "opponent": "exact"}, "'exact' plays tic_tac_toe, nim_3p only"),
        ({"game": "hex", "opponent": "perfect"}, "must be one of random, exact, rollout"),
        (
            {"game": "hex", "opponent": "rollout", "rollout_simulations": 0},
            "from 1 to 100000, not 0",
        ),
        ({"game": "hex", "max_steps": 10}, "ends by its rules"),
        ({"game": "2048", "max_steps": 0}, "max_steps must be from 1 to 2147483647, not 0"),
        ({"game": "hex", "random_opening_moves": -1}, "must be from 0 to 1000, not -1"),
        ({"game": "2048", "random_opening_moves": 1}, "has one player"),
    ],
)
def test_invalid_configurations_are_rejected(fields, message):
    with pytest.raises(UserError, match=message):
        PgxConfig(**fields)


def test_invalid_vectors_are_rejected():
    factory = PgxConfig("tic_tac_toe").make_factory()
    for seed, num_envs, message in [(-1, 1, "negative"), (0, 0, "at least 1")]:
        for evaluation in (False, True):
            with pytest.raises(UserError, match=message):
                factory(seed, num_envs, evaluation)
    with pytest.raises(UserError, match="one player"):
        PgxConfig("2048").make_match_factory(LOWEST)
