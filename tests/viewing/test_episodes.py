"""Episodes of every kind of environment, as text and as pictures."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.environment import MatchEnvironment
from mukoe.environments.pgx.match import match
from mukoe.environments.pgx.opponents import random_opponent
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.viewing.action_names import action_names
from mukoe.viewing.episode_pictures import draw_episode
from mukoe.viewing.episodes import play_episode, render
from mukoe.viewing.panel import Panel
from mukoe.viewing.terminal import print_episode
from tests.viewing.stub_agent import StubAgent


def make(name, evaluation=False):
    if "-v" in name:
        return GymnasiumConfig(name).with_rendering().make_factory()(0, 1, evaluation)
    return PgxConfig(name).make_factory()(0, 1, evaluation)


def agent_of(environment, actions=()):
    return StubAgent(int(environment.spec.actions.num_values), actions)


@pytest.mark.parametrize("name", ["CartPole-v1", "backgammon", "2048"])
def test_every_environment_is_shown_as_text_and_pictures(name):
    environment = make(name)
    names, agent = action_names(environment), agent_of(environment)
    text = io.StringIO()
    with redirect_stdout(text):
        print_episode(play_episode(agent, environment, 0, 3, seed=0), environment, names)
    assert "action" in text.getvalue() and "-0.000" not in text.getvalue()
    assert text.getvalue().strip().endswith("(end)  stopped after 3 steps")
    steps = play_episode(agent, environment, 0, 3, seed=0)
    pictures = list(draw_episode(Panel(names, name), steps, environment))
    assert [picture.shape for picture in pictures] == [(720, 1280, 3)] * 4
    assert all(np.any(a != b) for a, b in zip(pictures, pictures[1:], strict=False))


def test_the_result_of_a_game():
    environment = make("tic_tac_toe")

    def last(actions):
        return list(play_episode(agent_of(environment, actions), environment, 0, None))[-1].result

    assert last([0, 3, 1, 4, 2]) == "X won"
    assert last([0, 3, 1, 4, 8, 5]) == "O won"
    assert last([0, 1, 2, 4, 3, 5, 7, 6, 8]) == "draw"


def test_the_result_of_a_match_names_the_winner():
    functions = match(load_rules("tic_tac_toe", None), 1, random_opponent())
    environment = MatchEnvironment(functions, 0, True)
    results = set()
    for episode in range(12):
        *_, step = play_episode(agent_of(environment), environment, episode, None, seed=episode)
        won = {1: "the agent", 0: "", -1: "the opponent"}[int(step.score)]
        assert step.result == "draw" if not won else step.result.endswith(f"won ({won})")
        symbol = "XO"[episode % 2] if won == "the agent" else "OX"[episode % 2]
        assert not won or step.result.startswith(symbol)
        results.add(won)
    assert {"the agent", "the opponent"} <= results


def test_terminated_and_truncated_episodes():
    environment = make("CartPole-v1")
    *_, last = play_episode(agent_of(environment, [0] * 50), environment, 0, None)
    assert last.result == "terminated"


class Rendered:
    """Vector with the `render` of a test."""

    def __init__(self, function):
        self.render = lambda index: function()


def fail(error):
    raise error


@pytest.mark.parametrize(
    "environment, message",
    [
        (object(), r"needs a render\(\) that returns an array"),
        (Rendered(lambda: None), r"needs a render\(\)"),
        (Rendered(lambda: "text"), r"needs a render\(\)"),
        (Rendered(lambda: np.zeros((4, 4))), r"needs a render\(\)"),
        (Rendered(lambda: np.zeros((4, 4, 3))), r"needs a render\(\)"),
        (Rendered(lambda: fail(NotImplementedError())), r"needs a render\(\)"),
        (Rendered(lambda: fail(RuntimeError("no\ndisplay"))), r"failed: RuntimeError: no display"),
        (Rendered(lambda: 1 / 0), r"render\(\) of the environment failed: ZeroDivisionError"),
    ],
)
def test_environments_that_cannot_be_drawn(environment, message):
    with pytest.raises(UserError, match=message) as error:
        render(environment)
    assert "\n" not in str(error.value)
