"""Episodes and games in a terminal."""

from collections.abc import Iterable, Sequence

import numpy as np

from mukoe.environments.pgx.boards import FIRST, SYMBOLS
from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.episodes import EpisodeStep
from mukoe.viewing.inspected_agent import Decision, edge_name, format_action
from mukoe.viewing.numbers import format_number, format_sum

MAX_LISTED = 6
"""Maximum number of actions of a policy in the output, most probable first."""


def print_episode(
    steps: Iterable[EpisodeStep], environment: VectorEnvironment, names: Sequence[str]
) -> None:
    """Prints an episode step by step, with the position if the environment renders text."""
    for step in steps:
        if hasattr(environment, "render_text"):
            print(environment.render_text(0))
        print(describe(step, names), flush=True)


def describe(step: EpisodeStep, names: Sequence[str]) -> str:
    """Returns one line about a step."""
    start = f"episode {step.episode + 1}  step {step.step_index}  reward {format_sum(step.reward)}"
    if step.decision is None:
        return f"{start}  return {step.score:g}  (end)  {step.result}\n"
    action = format_action(step.decision.action, names)
    return f"{start}  action {action}  {_describe_decision(step.decision, names)}"


def _describe_decision(decision: Decision, names: Sequence[str]) -> str:
    parts = []
    if decision.value is not None:
        parts.append(f"value {format_number(decision.value)}")
    if decision.policy is not None:
        best = [int(a) for a in np.argsort(-decision.policy, kind="stable")[:MAX_LISTED]]
        listed = [_describe_action(decision, a, names) for a in best if decision.policy[a] > 0]
        parts.append(f"policy [{', '.join(listed)}]")
    if decision.tree is not None:
        parts.append(f"line [{decision.format_line(names)}]")
    return "  ".join(parts)


def _describe_action(decision: Decision, index: int, names: Sequence[str]) -> str:
    """Returns name and probability of an action; of a candidate its Q-value, too."""
    assert decision.policy is not None
    text = f"{edge_name(decision.tree, 0, index, names)} {decision.policy[index]:.2f}"
    if decision.tree is None or decision.tree.candidates is None:
        return text
    return f"{text} Q {format_number(decision.qvalues[index])}"


def choose_seat() -> int | None:
    """Reads the seat of the user, by default 0; None if the user quits."""
    while True:
        answer = _read("play X, which moves first, or O? [X] ")
        if answer in (None, "q"):
            print("game left")
            return None
        if answer in ("", "x", "o"):
            return int(answer == "o")
        print(f"there is no side {answer!r}; enter X, O, or q")


def play_in_terminal(game: BoardGame) -> None:
    """Plays a game on standard input and output, until its end, 'q', or the end of the input."""
    order = "second" if game.seat else "first"
    print(f"you are {_symbol(game.seat)} and move {order} (seed {game.seed})\n")
    if game.opening_moves:
        print(f"random opening: {_format_moves(game, game.opening_moves)}\n")
    while not game.over:
        print(game.text)
        if game.agent_to_move:
            _agent_moves(game)
        elif not _user_moves(game):
            print("game left")
            return
    print(game.text)
    print(game.result)


def _agent_moves(game: BoardGame) -> None:
    names = game.names
    decision = game.play_agent_move()
    action = format_action(decision.action, names)
    does = "resigns" if game.resigned else f"plays {action}"
    print(f"\nagent {does}: {_describe_decision(decision, names)}\n", flush=True)


def _user_moves(game: BoardGame) -> bool:
    """Reads moves until one is legal; returns False if the user quits."""
    names = game.names
    assert game.decision is not None
    print(f"\nagent's view of your side: {_describe_decision(game.decision, names)}")
    print(f"legal moves: {' '.join(names[a] for a in game.legal_actions)}")
    while True:
        answer = _read("your move (q quits): ")
        if answer in (None, "q"):
            return False
        try:
            game.play(_parse_move(answer, names, game.legal_actions))
        except UserError as error:
            print(error)
        else:
            print(flush=True)
            return True


def _format_moves(game: BoardGame, count: int) -> str:
    """Returns the first `count` moves of a game as text, such as 'X b2, O a1'."""
    moves = game.moves[:count]
    return ", ".join(f"{_symbol(seat)} {game.names[action]}" for seat, action in moves)


def _symbol(seat: int) -> str:
    return SYMBOLS[FIRST + seat]


def _read(prompt: str) -> str | None:
    """Returns an answer in lower case, None at the end of the input."""
    try:
        return input(prompt).strip().lower()
    except EOFError:
        print()
        return None


def _parse_move(answer: str, names: Sequence[str], legal_actions: Sequence[int]) -> int:
    """Returns the action of a name, a legal one if several actions have that name."""
    actions = [action for action, name in enumerate(names) if name == answer]
    if not actions:
        raise UserError(f"there is no move {answer!r}; enter one of the legal moves, or q")
    return next((action for action in actions if action in legal_actions), actions[0])
