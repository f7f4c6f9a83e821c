"""Looking at an agent's search: videos, trees, and games against a person."""

from mukoe.viewing.board import Board, action_names, find_board
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.episodes import Moment, render, take, watch_episode
from mukoe.viewing.search_tree import SearchTree, from_mctx
from mukoe.viewing.watched_agent import Decision, WatchedAgent

__all__ = [
    "Board",
    "BoardGame",
    "Decision",
    "Moment",
    "SearchTree",
    "WatchedAgent",
    "action_names",
    "find_board",
    "from_mctx",
    "render",
    "take",
    "watch_episode",
]
