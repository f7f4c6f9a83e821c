"""GTP engines: sessions with GNU Go, and programs that fail."""

import sys
import time
from pathlib import Path

import pytest

from mukoe.errors import UserError
from mukoe.evaluation.engines.gtp_client import GtpEngine
from mukoe.evaluation.engines.vertices import Vertices

GO = Vertices("go_5x5", 5)
FAKE = f"{sys.executable} {Path(__file__).with_name('fake_gtp.py')}"


def fake(*flags, **timeouts):
    return GtpEngine(" ".join([FAKE, *flags]), GO, **timeouts)


@pytest.mark.engines
def test_gnu_go_plays_by_the_rules_of_pgx():
    with GtpEngine("gnugo --mode gtp --level 1", GO) as engine:
        moves = []
        for _ in range(6):
            moves.append(engine.choose(moves))
        assert len(set(moves)) == 6 and all(0 <= move < 25 for move in moves)
        assert engine.send("get_komi") == "7.5"
        # The same game, resumed in another one.
        assert engine.choose([12]) in range(25)
        assert engine.send("list_stones black") == "C3"


@pytest.mark.engines
def test_gnu_go_captures_dead_stones_after_a_pass():
    """Black has the board but for one dead stone, and must not pass: it would count as alive."""
    black = [GO.action(v) for v in ("C1", "C2", "C3", "C4", "C5", "B2", "B4", "D3")]
    white = [GO.action(v) for v in ("E1",)]
    moves = []
    for ply, stone in enumerate(black):
        moves += [stone, white[ply] if ply < len(white) else 25]
    with GtpEngine("gnugo --mode gtp --level 1", GO) as engine:
        for _ in range(6):
            answer = engine.choose(moves)
            moves += [answer, 25]
            if answer == 25:
                break
        assert engine.send("list_stones white") == ""


def test_only_missing_moves_are_sent(tmp_path):
    log = tmp_path / "log"
    with fake(f"--log={log}") as engine:
        first = engine.choose([7])
        engine.choose([7, first, 8])
        engine.choose([9])
    assert log.read_text().split("\n") == [
        "list_commands",
        "boardsize 5",
        "clear_board",
        "komi 7.5",
        "play black C4",
        "genmove white",
        "play black D4",
        "genmove white",
        "clear_board",
        "play black E4",
        "genmove white",
        "quit",
        "",
    ]


def test_an_engine_resigns():
    with fake("--resign") as engine:
        assert engine.choose([]) is None


def test_a_missing_program():
    with pytest.raises(UserError, match="no program 'nogo': install it"):
        GtpEngine("nogo --mode gtp", GO)
    with pytest.raises(UserError, match="lacks the command line"):
        GtpEngine("", GO)
    with pytest.raises(UserError, match="cannot be parsed: No closing quotation"):
        GtpEngine("gnugo 'a", GO)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--die=genmove", r"ended with status 1 at 'genmove black': out of ink"),
        ("--refuse=genmove", r"refuses 'genmove black': not today"),
        ("--hang=genmove", r"has not answered 'genmove black' within 0\.5 seconds"),
    ],
)
def test_an_engine_fails_at_its_move(flag, message):
    with fake(flag, move_timeout=0.5) as engine, pytest.raises(UserError, match=message):
        engine.choose([])


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--die=boardsize", r"ended with status 1 at 'boardsize 5': out of ink"),
        ("--refuse=boardsize", r"refuses 'boardsize 5'"),
        ("--hang=komi", r"has not answered 'komi 7.5' within 2 seconds"),
        ("--chatter", r"answers 'list_commands' with 'Welcome!', which is not GTP"),
    ],
)
def test_an_engine_fails_at_its_start(flag, message):
    began = time.monotonic()
    with pytest.raises(UserError, match=message), fake(flag, command_timeout=2):
        pass
    assert time.monotonic() - began < 20


def test_vertices():
    hexes, othello = Vertices("hex", 11), Vertices("othello", 8)
    assert Vertices("go_9x9", 9).vertex(8) == "J9"
    assert (GO.vertex(0), GO.vertex(24), GO.vertex(25)) == ("A5", "E1", "pass")
    assert (hexes.vertex(0), hexes.vertex(120), hexes.vertex(121)) == ("a1", "k11", "swap-pieces")
    # Black's first moves.
    assert [othello.vertex(a) for a in (19, 26, 37, 44)] == ["d3", "c4", "f5", "e6"]
    for board in (GO, hexes, othello):
        actions = range(board.size**2 + 1)
        assert [board.action(board.vertex(action)) for action in actions] == list(actions)
    for text in ("", "I5", "F1", "A6", "A0", "a", "5", "A١"):
        with pytest.raises(ValueError, match="is no vertex"):
            GO.action(text)
