"""Game between the user and an agent."""

import numpy as np

from mukoe.environments.pgx.alternation import PASS
from mukoe.environments.pgx.environment import SelfPlayEnvironment
from mukoe.environments.pgx.resignation import Resignation
from mukoe.errors import UserError
from mukoe.viewing.board import Board
from mukoe.viewing.episodes import apply_action, decide
from mukoe.viewing.inspected_agent import Decision, InspectedAgent


class BoardGame:
    """Game in progress in a self-play environment, where `step` makes the moves of both sides.

    Passes of a player that waits for the other one to finish a turn (Backgammon) are played
    automatically and are not listed.

    board: board of the game; None for a game without stones on cells.
    names: names of the actions.
    seat: seat of the user; seat 0 moves first.
    seat_to_move: seat of the player to move.
    seed: seed of the game.
    opening_moves: number of random moves at the start of `moves`.
    moves: moves so far as pairs `(seat, action)`.
    over: True at the end of the game.
    resigned: True if the agent has resigned.
    score: 1 for a win of the user, -1 for a loss, 0 for a draw or an unfinished game.
    decision: decision of the agent for the player to move; None at the end of the game.
    agent_decision: decision of the agent at its own last move; None before that.
    """

    def __init__(
        self,
        agent: InspectedAgent,
        environment: SelfPlayEnvironment,
        board: Board | None,
        seat: int,
        seed: int,
        opening_moves: int = 0,
        resignation: Resignation | None = None,
    ):
        """Starts a game; the agent does not move yet, even if it moves first.

        Args:
          agent: agent of the other seat.
          environment: self-play vector of one environment, without random openings.
          board: board of the game; None for a game without stones on cells.
          seat: seat of the user, 0 or 1.
          seed: seed of the agent's random choices.
          opening_moves: number of random moves of both players before the first own move.
          resignation: rule by which the agent resigns; None to play the game out.

        Raises:
          UserError: the seat is neither 0 nor 1.
        """
        if seat not in (0, 1):
            raise UserError(f"the seat must be 0 (moves first) or 1, not {seat!r}")
        self.board, self.seat, self.seed = board, seat, seed
        self._agent, self._environment = agent.fresh_copy(), environment
        self._agent.start(seed)
        self.names = environment.action_names()
        self._timestep = environment.reset()
        self.seat_to_move = 0
        self.moves: list[tuple[int, int]] = []
        self.over = self.resigned = False
        self._resignation, self._low_values = resignation, 0
        self.score = 0.0
        self.agent_decision: Decision | None = None
        for action in environment.draw_opening(opening_moves):
            self._apply(action)
        self._pass_while_waiting()
        self.opening_moves = len(self.moves)
        self.decision: Decision | None = decide(self._agent, environment, self._timestep)

    @property
    def user_to_move(self) -> bool:
        """True if the user is to move."""
        return not self.over and self.seat_to_move == self.seat

    @property
    def agent_to_move(self) -> bool:
        """True if the agent is to move."""
        return not self.over and self.seat_to_move != self.seat

    @property
    def legal_actions(self) -> list[int]:
        """Legal actions, one for each name; empty at the end of the game."""
        if self.over:
            return []
        legal = np.flatnonzero(self._timestep.observation.legal_actions[0])
        by_name = {self.names[action]: int(action) for action in reversed(legal)}
        return sorted(by_name.values())

    @property
    def stones(self) -> np.ndarray:
        """Stones `[R, C]` int of a game with a board, see `Board.stones`."""
        assert self.board is not None, "the game has no stones on cells"
        return self.board.stones(self._environment.view())

    @property
    def text(self) -> str:
        """Position as text."""
        return self._environment.render_text()

    @property
    def picture(self) -> np.ndarray:
        """Picture `[H, W, 3]` uint8 of the position."""
        return self._environment.render()

    @property
    def result(self) -> str:
        """Result of the game for the user; empty during the game."""
        if not self.over:
            return ""
        if self.resigned:
            return "you won: the agent resigned"
        return {1: "you won", 0: "a draw", -1: "the agent won"}[int(np.sign(self.score))]

    def play(self, action: int) -> None:
        """Plays a move of the user.

        Raises:
          UserError: the user is not to move, or the move is illegal.
        """
        if self.over:
            raise UserError(f"the game is over: {self.result}")
        if not self.user_to_move:
            raise UserError("it is the agent's turn")
        if action not in self.legal_actions:
            known = 0 <= action < len(self.names)
            name = self.names[action] if known else f"action {action}"
            raise UserError(f"{name} is not legal here")
        self._move(action)

    def play_agent_move(self) -> Decision:
        """Plays a move of the agent, which must be to move, or resigns; returns its decision."""
        assert self.agent_to_move and self.decision is not None
        decision = self.agent_decision = self.decision
        if self._resigns(decision):
            self.over = self.resigned = True
            self.score, self.decision = 1.0, None
            return decision
        self._move(decision.action)
        return decision

    def _resigns(self, decision: Decision) -> bool:
        if self._resignation is None:
            return False
        assert decision.value is not None
        self._low_values = int(self._resignation.count(decision.value, self._low_values))
        return bool(self._resignation.is_due(self._low_values))

    def _apply(self, action: int) -> None:
        if not self._environment.waits():
            self.moves.append((self.seat_to_move, action))
        self._timestep = apply_action(self._agent, self._environment, self._timestep, action)
        self.over = bool(self._timestep.last()[0])
        self.seat_to_move = 1 - self.seat_to_move

    def _pass_while_waiting(self) -> None:
        while not self.over and self._environment.waits():
            self._apply(PASS)

    def _move(self, action: int) -> None:
        mover = self.seat_to_move
        self._apply(action)
        self._pass_while_waiting()
        if self.over:
            reward = float(self._timestep.reward[0])
            self.score = reward if mover == self.seat else -reward
            self.decision = None
        else:
            self.decision = decide(self._agent, self._environment, self._timestep)
