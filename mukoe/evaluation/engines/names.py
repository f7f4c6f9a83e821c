"""Engines by the names that `--opponent` takes."""

from mukoe.environments.pgx.rules import Rules
from mukoe.errors import UserError
from mukoe.evaluation.engines import chess_moves, perfect_connect_four
from mukoe.evaluation.engines.base import Engine
from mukoe.evaluation.engines.gtp_client import GtpEngine
from mukoe.evaluation.engines.perfect_connect_four import BitbullyEngine
from mukoe.evaluation.engines.uci_client import UciEngine
from mukoe.evaluation.engines.vertices import vertices_of

FORMS = ("gtp:COMMAND", "uci:COMMAND", perfect_connect_four.NAME)
"""Forms of the names of engines."""

_GTP, _UCI = "gtp:", "uci:"


def is_engine(text: str) -> bool:
    """Returns whether a text has the form of an engine's name."""
    return text.startswith((_GTP, _UCI)) or text == perfect_connect_four.NAME


def make_engine(text: str, rules: Rules, seed: int) -> Engine:
    """Returns the engine of a name; its process starts with its context.

    Args:
      text: `gtp:COMMAND` for Go, Hex and Othello, `uci:COMMAND;NAME=VALUE;...` for chess, or
        `bitbully` for Connect Four.
      rules: rules of the game.
      seed: seed of random choices of `bitbully`; programs have seeds of their own.

    Raises:
      UserError: the engine does not play the game, or is not installed.
    """
    if text.startswith(_GTP):
        return GtpEngine(text.removeprefix(_GTP), vertices_of(rules))
    if text.startswith(_UCI):
        if rules.name != chess_moves.GAME:
            raise UserError(f"UCI is a protocol of chess, not of {rules.name}")
        return UciEngine(text.removeprefix(_UCI))
    if rules.name != perfect_connect_four.GAME:
        raise UserError(f"bitbully plays connect_four, not {rules.name}")
    return BitbullyEngine(seed)
