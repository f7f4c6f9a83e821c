"""Episodes of a user: keys, moves by name, pictures as text, and what is recorded."""

import contextlib
import os
import pty
import re
import signal
import sys

import numpy as np
import pytest

from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.errors import UserError
from mukoe.viewing import keyboard
from mukoe.viewing.half_blocks import to_text
from mukoe.viewing.keyboard import Keyboard, describe_bindings, idle_action, key_bindings
from mukoe.viewing.user_episodes import RandomOpponent, record_user
from mukoe.viewing.user_terminal import TerminalInterface

ATARI = [
    "NOOP",
    "FIRE",
    "UP",
    "RIGHT",
    "LEFT",
    "DOWN",
    "UPRIGHT",
    "UPLEFT",
    "DOWNRIGHT",
    "DOWNLEFT",
]
ATARI += [f"{name}FIRE" for name in ATARI[2:]]


def test_directions_have_the_keys_of_games():
    bindings = key_bindings(ATARI)
    assert "".join(bindings) == ". wdaseqczWDASEQCZ"
    assert [ATARI[bindings[key]] for key in ".wA "] == ["NOOP", "UP", "LEFTFIRE", "FIRE"]
    assert idle_action(ATARI) == 0 and idle_action(["left", "right"]) is None
    text = describe_bindings(key_bindings(["left", "right"]), ["left", "right"])
    assert text == "a: left, d: right; x ends"


@pytest.mark.parametrize(
    "names", [["0", "1", "2"], ["up"] * 18, ["left", "left", "none"], [str(i) for i in range(18)]]
)
def test_every_action_has_a_key_of_its_own(names):
    bindings = key_bindings(names)
    assert sorted(bindings.values()) == list(range(len(names)))
    assert keyboard.QUIT not in bindings


def test_too_many_actions_are_refused():
    with pytest.raises(UserError, match="19 actions are too many for keys: at most 18"):
        Keyboard(["a"] * 19)


@contextlib.contextmanager
def piped(text, monkeypatch):
    """The standard input is a pipe with this text."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    with open(reader) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield


@contextlib.contextmanager
def terminal(monkeypatch):
    """The standard input is a terminal; gives the function that types into it."""
    controller, reader = pty.openpty()
    with open(reader) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield lambda text: os.write(controller, text.encode())
    os.close(controller)


KEYS, ACTIONS = "a?d\x1b[C\x1b[Dxa", [0, 1, 1, 0, None]


def test_keys_of_a_pipe_are_actions(monkeypatch):
    with piped(KEYS, monkeypatch):
        player = Keyboard(["left", "right"])
        assert [player.choose() for _ in range(5)] == ACTIONS


@pytest.mark.timeout(30)
def test_keys_of_a_terminal_are_actions_at_once(monkeypatch):
    with terminal(monkeypatch) as type_keys:
        player = Keyboard(["left", "right"])
        with player.opened():
            type_keys(KEYS)
            assert [player.choose() for _ in range(5)] == ACTIONS


def test_the_end_of_the_input_quits(monkeypatch):
    with piped("d", monkeypatch):
        player = Keyboard(["left", "right"])
        assert [player.choose(), player.choose()] == [1, None]


@pytest.mark.timeout(30)
def test_steps_in_time_are_idle_without_a_key(monkeypatch):
    with terminal(monkeypatch) as type_keys:
        player = Keyboard(["NOOP", "RIGHT"], steps_per_second=50.0)
        with player.opened():
            type_keys("d")
            assert [player.choose(), player.choose()] == [1, 0]


@pytest.mark.timeout(30)
def test_an_interrupt_ends_the_wait_for_a_key(monkeypatch):
    with terminal(monkeypatch):
        old = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with pytest.raises(KeyboardInterrupt):
                Keyboard(["left", "right"]).choose()
        finally:
            signal.signal(signal.SIGALRM, old)


def test_two_pixels_are_one_character():
    frame = np.zeros((4, 3, 3), np.uint8)
    frame[0, :2] = (255, 0, 0)
    first, second = to_text(frame, 80, 20).splitlines()
    red, black = "\x1b[38;2;255;0;0m", "\x1b[38;2;0;0;0m"
    ground = "\x1b[48;2;0;0;0m"
    assert first == f"{red}{ground}▀▀{black}▀\x1b[0m"
    assert second == f"{black}{ground}▀▀▀\x1b[0m"


@pytest.mark.parametrize("shape", [(400, 600), (210, 160), (7, 900), (900, 7)])
def test_a_picture_fits_the_terminal(shape):
    lines = to_text(np.zeros((*shape, 3), np.uint8), 59, 20).splitlines()
    assert 1 <= len(lines) <= 20
    assert all(1 <= len(re.findall("▀", line)) <= 59 for line in lines)


def test_an_episode_of_keys_is_recorded(monkeypatch, capsys):
    environment = GymnasiumConfig("CartPole-v1").make_factory()(0, 1, False)
    found = []
    with contextlib.closing(environment), piped("d" * 15 + "x", monkeypatch):
        opponent = RandomOpponent(environment.spec, 0)
        interface = TerminalInterface(environment, 0.0)
        record_user(environment, opponent, interface, 5, 1000, found.append)
    (episode,) = found
    length = len(episode.mask) - 1
    assert 5 < length < 15 and (episode.action[:-1] == 1).all()
    assert episode.discount[-2] == 0 and episode.extras == {}
    assert f"end of the episode, return {length}" in capsys.readouterr().out


def test_continuous_actions_have_no_keys():
    environment = GymnasiumConfig("Pendulum-v1").make_factory()(0, 1, False)
    with contextlib.closing(environment), pytest.raises(UserError, match="needs discrete actions"):
        RandomOpponent(environment.spec, 0)


def test_the_user_and_the_other_side_alternate(monkeypatch):
    pytest.importorskip("pgx")
    from mukoe.environments.pgx.config import PgxConfig

    environment = PgxConfig("tic_tac_toe").make_factory()(0, 1, False)
    cells = [f"{column}{row}" for row in "123" for column in "abc"]
    lines = iter(["z9", *cells * 6])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    found = []
    with contextlib.closing(environment):
        opponent = RandomOpponent(environment.spec, 0)
        interface = TerminalInterface(environment, 0.0)
        record_user(environment, opponent, interface, 2, 1000, found.append)
    assert len(found) == 2
    for episode in found:
        length = len(episode.mask) - 1
        assert 5 <= length <= 9 and (episode.discount[: length - 1] == -1).all()
        legal = episode.observation.legal_actions
        assert legal[np.arange(length), episode.action[:length]].all()
