"""Page of a user who plays episodes in the browser: a picture, and buttons or keys."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.types import plays_in_turns
from mukoe.viewing.action_names import action_names
from mukoe.viewing.episodes import render
from mukoe.viewing.game_json import picture_url
from mukoe.viewing.keyboard import MAX_KEYS, idle_action, key_bindings
from mukoe.viewing.page_server import PageServer

_PAGE = Path(__file__).with_name("record_page.html")
_POLL_SECONDS = 20.0
_END_SECONDS = 2.0


class BrowserInterface:
    """A `UserInterface` of one page.

        GET  /                                page
        GET  /state?since=VERSION             newest state, as soon as its version is a later one
        POST /press   {"action": 1, "version": 7}   action at the state of this version
        POST /release {}                      no key is held
        POST /next    {}                      next episode
        POST /quit    {}                      end of the recording

    A state has `version`, `picture` (a URL) or `text`, `names` and `legal` actions, `keys` with
    the action of each, `timed`, `score`, `episode` of `episodes`, and `phase`: `playing`, `over`
    at the end of an episode, `ended` at that of the recording. Steps in time wait for a page that
    shows the state.
    """

    def __init__(
        self, environment: VectorEnvironment, steps_per_second: float, episodes: int, port: int
    ):
        """Opens the port.

        Args:
          environment: vector of one environment.
          steps_per_second: steps per second, of which those without a key are idle or repeat the
            last action; 0 to wait for an action at every step.
          episodes: number of episodes.
          port: port of 127.0.0.1; 0 for a free one.

        Raises:
          UserError: the port is not available.
        """
        names = action_names(environment)
        has_keys = not plays_in_turns(environment.spec) and len(names) <= MAX_KEYS
        self._environment = environment
        self._seconds = 1 / steps_per_second if steps_per_second else None
        self._next_step = time.monotonic()
        self._idle = idle_action(names)
        self._last = 0 if self._idle is None else self._idle
        self._episodes = episodes
        self._changed = threading.Condition()
        self._pressed: int | None = None
        self._held: int | None = None
        self._is_next = self._quits = False
        self._shown = 0
        self._state: dict[str, Any] = {
            "version": 0,
            "phase": "playing",
            "names": names,
            "keys": key_bindings(names) if has_keys else {},
            "timed": self._seconds is not None,
            "episode": 1,
            "episodes": episodes,
        }
        self._server = PageServer(
            port,
            get={"/": lambda _: _PAGE.read_text(), "/state": self._wait_for_state},
            post={
                "/press": self._press,
                "/release": self._release,
                "/next": self._start_next,
                "/quit": self._quit,
            },
        )

    @property
    def url(self) -> str:
        """Address of the page."""
        return self._server.url

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Serves the page."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True)
        thread.start()
        print(f"open {self.url} (Ctrl-C ends)", flush=True)
        try:
            yield
        finally:
            self._publish(phase="ended")
            with self._changed:
                self._changed.wait_for(self._is_shown, _END_SECONDS)
            self._server.shutdown()
            self._server.server_close()

    def show(self, score: float, legal_actions: Sequence[int]) -> None:
        """Publishes a picture of the environment and the return."""
        self._publish(**self._view(), score=score, legal=list(legal_actions), phase="playing")

    def choose(self, legal_actions: Sequence[int]) -> int | None:
        """Returns the user's action, None if the user quits."""
        del legal_actions
        with self._changed:
            if self._seconds is None:
                self._changed.wait_for(lambda: self._quits or self._pressed is not None)
            else:
                self._changed.wait_for(lambda: self._quits or self._is_shown())
                self._next_step = max(self._next_step + self._seconds, time.monotonic())
                left = self._next_step - time.monotonic()
                self._changed.wait_for(lambda: self._quits, max(left, 0.0))
            if self._quits:
                return None
            rest = self._last if self._idle is None else self._idle
            given = [x for x in (self._pressed, self._held, rest) if x is not None]
            self._last, self._pressed = given[0], None
            return self._last

    def end(self, score: float) -> None:
        """Publishes the end of an episode, and waits for the user to start the next one."""
        self._publish(**self._view(), score=score, legal=[], phase="over")
        with self._changed:
            self._pressed = self._held = None
            if self._state["episode"] == self._episodes:
                return
            self._changed.wait_for(lambda: self._quits or self._is_next)
            self._is_next = False
            self._state["episode"] += 1

    def _view(self) -> dict[str, str]:
        """Returns the picture of the environment, its text where it cannot be drawn."""
        try:
            return {"picture": picture_url(render(self._environment)), "text": ""}
        except UserError as error:
            if hasattr(self._environment, "render_text"):
                return {"picture": "", "text": self._environment.render_text(0)}
            return {"picture": "", "text": str(error)}

    def _publish(self, **changes: Any) -> None:
        with self._changed:
            self._state = {**self._state, **changes, "version": self._state["version"] + 1}
            self._changed.notify_all()

    def _is_shown(self) -> bool:
        return self._shown >= self._state["version"]

    def _wait_for_state(self, query: Mapping[str, str]) -> dict[str, Any]:
        try:
            since = int(query.get("since", "0"))
        except ValueError as error:
            raise UserError(f"since must be an integer, not {query['since']!r}") from error
        with self._changed:
            self._changed.wait_for(lambda: self._state["version"] > since, _POLL_SECONDS)
            self._shown = self._state["version"]
            self._changed.notify_all()
            return self._state

    def _press(self, request: Mapping[str, Any]) -> dict[str, Any]:
        action, version = (request.get(name) for name in ("action", "version"))
        with self._changed:
            if type(action) is not int or not 0 <= action < len(self._state["names"]):
                raise UserError(f"there is no action {action!r}")
            # A second click on the same state is no second action.
            is_current = version == self._state["version"] and self._state["phase"] == "playing"
            if self._seconds is not None:
                self._pressed = self._held = action
            elif is_current and action in self._state.get("legal", []):
                self._pressed = action
            self._changed.notify_all()
        return {}

    def _release(self, request: Mapping[str, Any]) -> dict[str, Any]:
        del request
        with self._changed:
            self._held = None
        return {}

    def _start_next(self, request: Mapping[str, Any]) -> dict[str, Any]:
        del request
        with self._changed:
            self._is_next = self._state["phase"] == "over"
            self._changed.notify_all()
        return {}

    def _quit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        del request
        with self._changed:
            self._quits = True
            self._changed.notify_all()
        return {}
