"""Chess: moves of pgx and of `chess`, and the protocol in both directions with real programs."""

import random
import sys
from pathlib import Path

import chess
import chess.engine
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.evaluation.engines.chess_moves import action_of, legal_moves, replay
from mukoe.evaluation.engines.uci_client import UciEngine
from mukoe.evaluation.engines.uci_server import UciServer, from_board
from tests.evaluation.engines.serve_random import make_game


@pytest.fixture(scope="module")
def game():
    return make_game("chess")


@pytest.fixture
def server(game):
    game.reset()
    return UciServer(lambda: game)


def legal_in_pgx(game):
    return set(np.flatnonzero(game.position.legal_action_mask).tolist())


def test_legal_moves_agree_along_random_games(game):
    """Castling, en passant and promotions included, for both colours."""
    rng, kinds = random.Random(4), set()
    for _ in range(4):
        game.reset()
        board = chess.Board()
        while not (game.over or board.is_game_over() or board.ply() > 120):
            moves = legal_moves(board)
            assert set(moves) == legal_in_pgx(game), board.fen()
            # Rare moves are preferred.
            special = [
                a for a, m in moves.items()
                if m.promotion or board.is_en_passant(m) or board.is_castling(m)
            ]  # fmt: skip
            action = rng.choice(special or sorted(moves))
            move = moves[action]
            kinds |= {("promotion", move.promotion)} if move.promotion else set()
            kinds |= {"en passant"} if board.is_en_passant(move) else set()
            kinds |= {"castling"} if board.is_castling(move) else set()
            board.push(move)
            game.play(action)
    assert "castling" in kinds and "en passant" in kinds
    assert replay(game.moves).fen() == board.fen()


def test_promotions_have_actions():
    board = chess.Board("8/P6k/8/8/8/8/6Kp/8 w - - 0 1")
    actions = {action_of(board, move) for move in board.legal_moves if move.promotion}
    assert len(actions) == 4
    board.turn = chess.BLACK
    assert len({action_of(board, m) for m in board.legal_moves if m.promotion}) == 4


def test_the_protocol(server, game):
    assert server.answer("uci\n")[-1] == "uciok"
    assert server.answer("isready\n") == ["readyok"]
    assert server.answer("setoption name Hash value 1\n") == server.answer("\n") == []
    assert server.answer("position startpos moves e2e4 e7e5\n") == []
    first = list(game.moves)
    (best,) = server.answer("go movetime 10\n")
    assert chess.Move.from_uci(best.split()[1]) in replay(first).legal_moves
    assert game.moves == first, "the position stays that of the command"
    # The moves that are new.
    server.answer("position startpos moves e2e4 e7e5 g1f3\n")
    assert game.moves[:2] == first and len(game.moves) == 3
    server.answer("position startpos moves d2d4\n")
    assert len(game.moves) == 1
    (error,) = server.answer("position startpos moves e2e5\n")
    assert error.startswith("info string illegal uci")
    assert server.answer("go infinite\n") == []
    assert server.answer("stop\n")[0].startswith("bestmove ")
    assert server.answer("stop\n") == []
    assert not server.quits and server.answer("quit") == [] and server.quits


def test_positions_by_fen(server, game):
    """The only legal moves, for both colours; then mate."""
    server.answer("position fen 7k/8/8/8/8/8/1r6/K7 w - - 3 40")
    assert server.answer("go")[0] == "bestmove a1b2"
    server.answer("position fen 7K/6r1/8/8/8/8/1R6/k7 b - - 3 40 moves a1b2")
    assert server.answer("go")[0] == "bestmove h8g7"
    server.answer("position fen 7k/5QQ1/8/8/8/8/8/K7 b - - 0 1")
    assert server.answer("go") == ["bestmove (none)"]
    for fen in (chess.STARTING_FEN, "r3k2r/8/8/3pP3/8/8/8/R3K2R w KQkq d6 0 1"):
        board = chess.Board(fen)
        game.reset(from_board(board))
        assert set(legal_moves(board)) == legal_in_pgx(game)


def test_a_game_goes_on_after_a_repetition(server, game):
    """pgx ends the game at the third occurrence, which a player of chess may not claim."""
    moves = " ".join(3 * ["g1f3 g8f6 f3g1 f6g8"])
    server.answer(f"position startpos moves {moves} e2e4")
    assert server.answer("go")[0] != "bestmove (none)"


def test_a_client_of_chess_plays_the_server():
    script = Path(__file__).with_name("serve_random.py")
    command = [sys.executable, str(script), "chess"]
    with chess.engine.SimpleEngine.popen_uci(command, timeout=200) as engine:
        board = chess.Board()
        for _ in range(4):
            played = engine.play(board, chess.engine.Limit(nodes=10))
            assert played.move in board.legal_moves
            board.push(played.move)


@pytest.mark.engines
def test_stockfish_is_an_opponent():
    with UciEngine("stockfish;Skill Level=0;depth=4") as engine:
        moves = []
        for _ in range(6):
            moves.append(engine.choose(moves))
        assert replay(moves).ply() == 6
    # Fool's mate: 1 f3 e5 2 g4.
    board, moves = chess.Board(), []
    for text in ("f2f3", "e7e5", "g2g4"):
        moves.append(action_of(board, chess.Move.from_uci(text)))
        board.push_uci(text)
    with UciEngine("stockfish;nodes=2000") as engine:
        assert legal_moves(board)[engine.choose(moves)].uci() == "d8h4"


HANGING = """#!/usr/bin/env python3
import sys

for line in sys.stdin:
    for command, answer in (("uci", "uciok"), ("isready", "readyok")):
        if line.strip() == command:
            print(answer, flush=True)
"""


@pytest.mark.parametrize("limit", ["nodes=100", "depth=3", "seconds=0.5"])
def test_a_move_that_never_comes_ends_the_wait(tmp_path, limit):
    program = tmp_path / "hanging"
    program.write_text(HANGING)
    program.chmod(0o755)
    late = pytest.raises(UserError, match="has not answered at its move 1 within 5.5 seconds")
    with UciEngine(f"{program};{limit}", timeout=5, move_timeout=0.5) as engine, late:
        engine.choose([])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nofish", "no program 'nofish': install it"),
        ("stockfish;nodes", "'nodes' is not NAME=VALUE"),
        ("stockfish;nodes=many", "nodes must be a number, not 'many'"),
        ("stockfish;seconds=nan", "seconds must be above 0, not nan"),
        ("stockfish;depth=0", "depth must be above 0, not 0"),
    ],
)
def test_settings_that_cannot_be(text, message):
    with pytest.raises(UserError, match=message):
        UciEngine(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "stockfish;Swiftness=3",
            "fails at its options.*Swiftness",
            marks=pytest.mark.engines,
        ),
        ("false", "uci:false ended at its start"),
        ("sleep 20", "has not answered at its start within 5 seconds"),
    ],
)
def test_programs_that_fail(text, message):
    with pytest.raises(UserError, match=message), UciEngine(text, timeout=5):
        pass
