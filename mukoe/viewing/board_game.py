"""A game between a person and an agent."""

import numpy as np

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.viewing.board import Board
from mukoe.viewing.episodes import take
from mukoe.viewing.watched_agent import Decision, WatchedAgent


class BoardGame:
    """A game in progress, played in a self-play environment, where both sides move by `step`.

    board: its board.
    seat: of the person; seat 0 moves first.
    seat_to_move: who is to move.
    moves: `(seat, action)` so far.
    over: whether it has ended.
    score: 1 if the person won, -1 if the agent did, 0 for a draw or while it goes on.
    decision: what the agent thinks of the position, whoever is to move; None when it is over.
    agent_decision: what it thought at its own last move; None before that.
    """

    def __init__(
        self, agent: WatchedAgent, environment: VectorEnvironment, board: Board, seat: int
    ):
        """Starts a game; the agent does not move yet, even where it is first.

        Raises:
          UserError: there is no such seat.
        """
        if seat not in (0, 1):
            raise UserError(f"the seat must be 0 (moves first) or 1, not {seat!r}")
        self.board, self.seat = board, seat
        self._agent, self._environment = agent.another(), environment
        self._timestep = environment.reset()
        self.seat_to_move = 0
        self.moves: list[tuple[int, int]] = []
        self.over = False
        self.score = 0.0
        self.agent_decision: Decision | None = None
        self.decision: Decision | None = self._agent.decide(self._timestep.observation)

    @property
    def persons_turn(self) -> bool:
        """Whether the person is to move."""
        return not self.over and self.seat_to_move == self.seat

    @property
    def agents_turn(self) -> bool:
        """Whether the agent is to move."""
        return not self.over and self.seat_to_move != self.seat

    @property
    def legal_actions(self) -> list[int]:
        """What may be played; nothing when the game is over."""
        if self.over:
            return []
        return [int(a) for a in np.flatnonzero(self._timestep.observation.legal_actions[0])]

    @property
    def stones(self) -> np.ndarray:
        """`[R, C]`, see `Board.stones`."""
        return self.board.stones(self._timestep.observation, self.seat_to_move)

    @property
    def result(self) -> str:
        """How it ended, in words for the person; empty while it goes on."""
        if not self.over:
            return ""
        return {1: "you won", 0: "a draw", -1: "the agent won"}[int(np.sign(self.score))]

    def play(self, action: int) -> None:
        """Plays a move of the person.

        Raises:
          UserError: it is not the person's turn, or the move is not legal.
        """
        if self.over:
            raise UserError(f"the game is over: {self.result}")
        if not self.persons_turn:
            raise UserError("it is the agent's turn")
        if action not in self.legal_actions:
            known = 0 <= action < len(self.board.names)
            name = self.board.names[action] if known else f"action {action}"
            raise UserError(f"{name} is not legal here")
        self._move(action)

    def let_agent_move(self) -> Decision:
        """Lets the agent move; it must be its turn."""
        assert self.agents_turn and self.decision is not None
        decision = self.agent_decision = self.decision
        self._move(decision.action)
        return decision

    def _move(self, action: int) -> None:
        mover = self.seat_to_move
        self._timestep = take(self._agent, self._environment, self._timestep, action)
        self.moves.append((mover, action))
        self.over = bool(self._timestep.last()[0])
        self.seat_to_move = 1 - mover
        if self.over:
            reward = float(self._timestep.reward[0])
            self.score = reward if mover == self.seat else -reward
            self.decision = None
        else:
            self.decision = self._agent.decide(self._timestep.observation)
