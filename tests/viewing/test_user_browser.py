"""Episodes that a user plays on a page, by requests to its server; the page's script, by Node."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.viewing import user_browser
from mukoe.viewing.user_browser import BrowserInterface
from mukoe.viewing.user_episodes import RandomOpponent, record_user


class Page:
    """A page that reads states and sends actions."""

    def __init__(self, url):
        self._url, self._version = url, 0

    def read(self):
        text = self.send(f"state?since={self._version}")
        state = json.loads(text)
        self._version = state["version"]
        return state

    def send(self, path, **request):
        data = json.dumps(request).encode() if not path.startswith("state") and path else None
        headers = {"Content-Type": "application/json"}
        message = urllib.request.Request(self._url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(message, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()


@contextlib.contextmanager
def recording(config, episodes, fps=0.0):
    """A page, and the list of the episodes that have been recorded."""
    environment, found = config.make_factory()(0, 1, False), []
    interface = BrowserInterface(environment, fps, episodes, 0)
    arguments = (environment, RandomOpponent(environment.spec, 0), interface, episodes, 1000)
    thread = threading.Thread(target=record_user, args=(*arguments, found.append), daemon=True)
    thread.start()
    yield Page(interface.url), found
    thread.join(20)
    assert not thread.is_alive()
    environment.close()


CARTPOLE = GymnasiumConfig("CartPole-v1").with_rendering()


def test_an_episode_of_keys_is_recorded():
    with recording(CARTPOLE, 2) as (page, found):
        html = page.send("")
        assert "<title>mukoe: record episodes</title>" in html and "http" not in html
        state, steps = page.read(), 0
        assert state["keys"] == {"a": 0, "d": 1} and state["legal"] == [0, 1]
        picture = base64.b64decode(state["picture"].removeprefix("data:image/png;base64,"))
        assert picture.startswith(b"\x89PNG")
        while state["phase"] == "playing":
            assert (state["episode"], state["score"]) == (1, steps)
            before = state["version"]
            page.send("press", action=1, version=before)
            state, steps = page.read(), steps + 1
            # A second press at a state that is past.
            page.send("press", action=0, version=before)
        assert state["phase"] == "over" and state["legal"] == []
        page.send("next")
        state = page.read()
        assert (state["phase"], state["episode"], state["score"]) == ("playing", 2, 0)
        for request, message in [
            ({"action": 2, "version": 1}, "there is no action 2\n"),
            ({"action": "left"}, "there is no action 'left'\n"),
        ]:
            assert page.send("press", **request) == message
        assert page.send("state?since=x") == "since must be an integer, not 'x'\n"
        page.send("quit")
        assert page.read()["phase"] == "ended"
    (episode,) = found
    assert len(episode.mask) - 1 == steps and (episode.action[:-1] == 1).all()


@pytest.mark.timeout(60)
def test_steps_in_time_repeat_a_held_key_and_wait_for_the_page():
    with recording(CARTPOLE, 1, fps=100.0) as (page, found):
        state = page.read()
        assert state["timed"] and state["score"] == 0
        page.send("press", action=1, version=state["version"])
        # The key is held to the end: after the only episode the server may be gone.
        while state["phase"] != "ended":
            state = page.read()
    (episode,) = found
    assert 5 < len(episode.mask) - 1 < 15 and (episode.action[1:-1] == 1).all()


def test_moves_of_a_board_game_are_the_legal_ones():
    pytest.importorskip("pgx")
    from mukoe.environments.pgx.config import PgxConfig

    with recording(PgxConfig("tic_tac_toe"), 2) as (page, found):
        state = page.read()
        while state["phase"] != "ended":
            assert state["keys"] == {} and state["picture"]
            if state["phase"] == "over":
                page.send("next")
            else:
                taken = next(a for a in range(9) if a not in state["legal"][:1])
                if taken not in state["legal"]:
                    page.send("press", action=taken, version=state["version"])
                page.send("press", action=state["legal"][0], version=state["version"])
            state = page.read()
        assert state["episode"] == state["episodes"] == 2
    assert len(found) == 2
    for episode in found:
        length = len(episode.mask) - 1
        assert 5 <= length <= 9 and (episode.discount[: length - 1] == -1).all()
        legal = episode.observation.legal_actions
        assert legal[np.arange(length), episode.action[:length]].all()


# A document of a few lines, in which keys and buttons are pressed.
SCRIPT = """
const elements = new Map(), requests = [], states = JSON.parse(process.argv[2]);
class Element {
  constructor() { this.children = []; this.textContent = ""; }
  replaceChildren() { this.children = []; }
  appendChild(child) { this.children.push(child); }
}
const byId = id => elements.get(id) ?? elements.set(id, new Element()).get(id);
globalThis.document = { getElementById: byId, createElement: () => new Element() };
globalThis.fetch = async (path, options) => {
  if (options) { requests.push([path, JSON.parse(options.body)]); return { ok: true }; }
  if (!states.length) return new Promise(() => {});
  return { ok: true, json: async () => states.shift() };
};
(0, eval)(process.argv[1]);
setTimeout(() => {
  const key = { preventDefault() {} };
  document.onkeydown({ ...key, key: "ArrowRight" });
  document.onkeydown({ ...key, key: "y" });
  document.onkeydown({ ...key, key: "a", ctrlKey: true });
  const shown = {
    status: byId("status").textContent, picture: byId("picture").src,
    buttons: byId("actions").children.map(b => b.textContent), next: !byId("next").hidden,
  };
  if (byId("actions").children.length) byId("actions").children[0].onclick();
  else document.onkeydown({ ...key, key: "Enter" });
  process.stdout.write(JSON.stringify({ ...shown, requests }));
}, 20);
"""
STATE = {
    "version": 7,
    "phase": "playing",
    "names": ["left", "right"],
    "legal": [0, 1],
    "keys": {"a": 0, "d": 1},
    "timed": False,
    "episode": 1,
    "episodes": 2,
    "score": 3,
    "picture": "data:image/png;base64,x",
    "text": "",
}


def show(**changes):
    """What the page shows of a state, and its requests after two keys and a button."""
    (script,) = re.findall(r"<script>(.*?)</script>", user_browser._PAGE.read_text(), re.DOTALL)
    state = json.dumps([{**STATE, **changes}])
    command = ["node", "-e", SCRIPT, script, state]
    return json.loads(subprocess.check_output(command, text=True, timeout=60))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_page_sends_keys_and_clicks():
    page = show()
    assert page["status"] == "episode 1 of 2, return 3" and not page["next"]
    assert page["buttons"] == ["[a] left", "[d] right"] and page["picture"] == STATE["picture"]
    assert page["requests"] == [
        ["/press", {"action": 1, "version": 7}],
        ["/press", {"action": 0, "version": 7}],
    ]
    page = show(phase="over", legal=[])
    assert page["status"] == "end of episode 1 of 2, return 3" and page["next"]
    assert page["requests"] == [["/next", {}]]
    assert not show(phase="over", episode=2)["next"]
    assert show(phase="ended")["status"] == "the recording has ended"
