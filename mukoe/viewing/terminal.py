"""Watching and playing in a terminal."""

from collections.abc import Iterable, Sequence

import numpy as np

from mukoe.environments.pgx.boards import FIRST, SYMBOLS
from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.episodes import Moment
from mukoe.viewing.watched_agent import Decision, write_action

MAX_LISTED = 6
"""Actions of a search policy that are listed, the most probable first."""


def print_episode(
    moments: Iterable[Moment], environment: VectorEnvironment, names: Sequence[str]
) -> None:
    """Prints an episode step by step, with the board where the environment writes it."""
    for moment in moments:
        if hasattr(environment, "render_text"):
            print(environment.render_text(0))
        print(describe(moment, names), flush=True)


def describe(moment: Moment, names: Sequence[str]) -> str:
    """Returns a moment as one line."""
    start = f"episode {moment.episode + 1}  step {moment.step}  reward {moment.reward:g}"
    if moment.decision is None:
        return f"{start}  return {moment.score:g}  (end)\n"
    action = write_action(moment.decision.action, names)
    return f"{start}  action {action}  {_thoughts(moment.decision, names)}"


def _thoughts(decision: Decision, names: Sequence[str]) -> str:
    parts = []
    if decision.value is not None:
        parts.append(f"value {decision.value:.3f}")
    if decision.policy is not None:
        best = [int(a) for a in np.argsort(-decision.policy, kind="stable")[:MAX_LISTED]]
        listed = [f"{names[a]} {decision.policy[a]:.2f}" for a in best if decision.policy[a] > 0]
        parts.append(f"policy [{', '.join(listed)}]")
    if decision.tree is not None:
        parts.append(f"line [{decision.write_line(names)}]")
    return "  ".join(parts)


def play_in_terminal(game: BoardGame) -> None:
    """Plays a game over standard input and output, to its end, 'q', or the end of the input."""
    print(f"you are {SYMBOLS[FIRST + game.seat]} and move {'second' if game.seat else 'first'}\n")
    while not game.over:
        print(game.board.write(game.stones))
        if game.agents_turn:
            _agent_moves(game)
        elif not _person_moves(game):
            print("game left")
            return
    print(game.board.write(game.stones))
    print(game.result)


def _agent_moves(game: BoardGame) -> None:
    names = game.board.names
    decision = game.let_agent_move()
    action = write_action(decision.action, names)
    print(f"\nagent plays {action}: {_thoughts(decision, names)}\n", flush=True)


def _person_moves(game: BoardGame) -> bool:
    """Asks until a move is legal; False when the person leaves."""
    names = game.board.names
    assert game.decision is not None
    print(f"\nagent's view of your side: {_thoughts(game.decision, names)}")
    print(f"legal moves: {' '.join(names[a] for a in game.legal_actions)}")
    while True:
        try:
            answer = input("your move (q quits): ").strip().lower()
        except EOFError:
            print()
            return False
        if answer == "q":
            return False
        try:
            game.play(_parse_move(answer, names))
        except UserError as error:
            print(error)
        else:
            print(flush=True)
            return True


def _parse_move(answer: str, names: Sequence[str]) -> int:
    if answer not in names:
        raise UserError(f"there is no move {answer!r}; type one of the legal moves, or q")
    return list(names).index(answer)
