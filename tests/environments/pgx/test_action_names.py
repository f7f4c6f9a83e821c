"""Names of actions against what the actions do."""

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.action_names import action_names
from mukoe.environments.pgx.boards import find_checkers, tile_values
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.games import GO_SIZES, HEX_SIZES, PGX_GAMES


def make(game):
    environment = PgxConfig(game).make_factory()(0, 1, False)
    return environment, environment.reset()


def play(environment, action):
    return environment.step(np.array([action], np.int32))


_OTHER_SIZES = ({*GO_SIZES} | {*HEX_SIZES}) - {"go_9x9", "hex"}


@pytest.mark.parametrize("game", [game for game in PGX_GAMES if game not in _OTHER_SIZES])
def test_every_action_has_a_name(game):
    spec = PgxConfig(game).make_factory()(0, 1, False).spec
    names = action_names(game, spec)
    assert len(names) == spec.actions.num_values
    assert not any(name.isdigit() or " " in name for name in names)
    # In Backgammon a player without a legal move passes with any die.
    assert len(set(names)) == len(names) - 5 * (game == "backgammon")


def test_moves_of_backgammon():
    environment, timestep = make("backgammon")
    names, random = environment.action_names(), np.random.default_rng(0)
    seen = set()
    for _ in range(80):
        before = find_checkers(environment.view().features, environment.view().seat_to_move)
        action = random.choice(np.flatnonzero(timestep.observation.legal_actions[0]))
        name = names[action]
        timestep = play(environment, action)
        after = find_checkers(environment.view().features, environment.view().seat_to_move)
        if name == "pass":
            np.testing.assert_array_equal(before.points, after.points)
            continue
        start, end = name.split("/")
        sign = 1 if before.turn == 0 else -1
        numbers = before.point_numbers.tolist()
        seen.add(start == "bar")
        if start == "bar":
            assert after.bar[before.turn] == before.bar[before.turn] - 1
        else:
            place = numbers.index(int(start))
            assert sign * after.points[place] == sign * before.points[place] - 1
        assert sign * after.points[numbers.index(int(end))] >= 1
        assert np.maximum(after.points, 0).sum() + after.bar[0] + after.off[0] == 15
        assert np.minimum(after.points, 0).sum() - after.bar[1] - after.off[1] == -15
    assert seen == {True, False}
    assert names[6 * 7 + 5] == "19/13" and names[6 * 25 + 2] == "1/off:3"
    assert names[6 * 23 + 2] == "3/off" and names[6 + 3] == "bar/21"


def test_tiles_of_2048_move_as_named():
    environment, timestep = make("2048")
    for name, turns in (("left", 0), ("up", 1), ("right", 2), ("down", 3)):
        action = environment.action_names().index(name)
        while not timestep.observation.legal_actions[0, action]:
            timestep = play(environment, timestep.observation.legal_actions[0].argmax())
        timestep = play(environment, action)
        tiles = np.rot90(tile_values(timestep.observation.features[0]), turns)
        gaps = sum(np.count_nonzero(row[:-1] < (row[1:] > 0)) for row in tiles)
        assert gaps <= 1  # The new tile.


def test_the_paddle_of_minatar_moves_as_named():
    environment, timestep = make("minatar-breakout")
    for name, column in (("left", 0), ("right", 9)):
        for _ in range(15):
            timestep = play(environment, environment.action_names().index(name))
            paddle = int(timestep.observation[0, 9, :, 0].argmax())
            if paddle == column:
                break
        assert paddle == column
