"""Games of other modules, and the game of docs/games.md."""

import importlib.util
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.environments.board_symmetries import board_symmetries
from mukoe.environments.pgx.games import PGX_GAMES, is_searchable
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError

PAGE = Path(__file__).parents[3] / "docs" / "games.md"


class Unfinished:
    num_players = 2


@pytest.fixture(scope="module")
def gomoku(tmp_path_factory):
    (code,) = re.findall(r"`gomoku.py`:\n+```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path_factory.mktemp("own") / "gomoku.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("gomoku", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gomoku"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gomoku"]


@pytest.mark.parametrize("down, right", [(0, 1), (1, 0), (1, 1), (1, -1)])
@pytest.mark.parametrize("length", [4, 5])
def test_five_in_any_direction_are_a_row(gomoku, down, right, length):
    stones = np.zeros((9, 9), bool)
    for i in range(length):
        stones[2 + i * down, 5 + i * right if right < 1 else 4 + i * right] = True
    assert bool(gomoku.has_row(jnp.array(stones))) == (length == 5)


def test_a_row_does_not_go_on_at_the_other_edge(gomoku):
    stones = np.zeros((9, 9), bool)
    stones[3, 7:] = stones[4, :3] = True
    assert not gomoku.has_row(jnp.array(stones))


def test_a_game_of_another_module_has_rules(gomoku):
    name = "gomoku:Gomoku"
    assert name in PGX_GAMES and is_searchable(name)
    assert PGX_GAMES[name].players == 2 and PGX_GAMES[name].max_moves == 81
    assert name not in list(PGX_GAMES)
    rules = load_rules(name, max_steps=None)
    assert len(board_symmetries(rules.spec)) == 8
    keys = jax.random.split(jax.random.PRNGKey(0), 1)
    position, step = rules.init(keys), jax.jit(rules.step)
    first = int(position.current_player[0])
    for action in (0, 9, 1, 10, 2, 11, 3, 12, 4):
        assert not position.terminated[0]
        position = step(position, np.array([action], np.int32), keys)
    assert position.terminated[0] and position.rewards[0, first] == 1.0


@pytest.mark.parametrize(
    "name, message",
    [
        ("missing_module:Game", "cannot import game 'missing_module:Game'"),
        (f"{__name__}:Missing", "has no attribute 'Missing'"),
        (f"{__name__}:PAGE", "is no class"),
        (f"{__name__}:Unfinished", "lacks init, step, max_moves"),
    ],
)
def test_what_is_no_game_is_named(name, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_rules(name, max_steps=None)
