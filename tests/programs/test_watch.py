"""programs/watch.py from the command line."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.programs.forked import run_program
from tests.viewing.runs import trained_run

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("watch")

PROGRAM = Path(__file__).resolve().parents[2] / "programs" / "watch.py"


def watch(*flags, status=0, text=""):
    result = run_program("watch.py", *flags, text=text)
    assert result.returncode == status, result.stderr
    return result.stderr if status else result.stdout


@pytest.fixture(scope="module")
def cartpole():
    return f"--workdir={trained_run('cartpole')}"


@pytest.fixture(scope="module")
def tic_tac_toe():
    pytest.importorskip("pgx")
    return f"--workdir={trained_run('tic_tac_toe')}"


def test_a_video_shows_every_step(cartpole, tmp_path):
    imageio = pytest.importorskip("imageio")
    path = tmp_path / "cartpole.mp4"
    output = watch(cartpole, f"--video={path}", "--episodes=2", "--max_steps=5", "--fps=10")
    frames = [np.asarray(frame) for frame in imageio.get_reader(path)]
    assert len(frames) == 12  # Five steps and the end, twice.
    assert "12 frames, 1.2 s" in output
    assert all(frame.shape == (720, 1280, 3) for frame in frames)
    for before, after in zip(frames, frames[1:], strict=False):
        assert np.abs(before.astype(int) - after).max() > 60
    blue = (frames[0][..., 2] > 200) & (frames[0][..., 0] < 130)
    amber = (frames[0][..., 0] > 220) & (frames[0][..., 2] < 120)
    assert amber[:, 700:].sum() > 1000 and blue[:, 700:].sum() > 20


@pytest.mark.slow
def test_a_gif_of_a_board_game_of_the_best_checkpoint_fails_without_one(tic_tac_toe, tmp_path):
    message = watch(tic_tac_toe, f"--video={tmp_path / 'v.gif'}", "--best", status=2)
    assert message.startswith("error: ") and message.count("\n") == 1


@pytest.mark.slow
def test_a_gif_of_a_board_game(tic_tac_toe, tmp_path):
    imageio = pytest.importorskip("imageio")
    path = tmp_path / "game.gif"
    output = watch(tic_tac_toe, f"--video={path}", "--self_play", "--simulations=4")
    frames = [np.asarray(frame)[..., :3] for frame in imageio.get_reader(path)]
    assert 6 <= len(frames) <= 10 and f"{len(frames)} frames, {len(frames):.1f} s" in output
    assert frames[0].shape == (360, 640, 3)
    assert all(np.any(a != b) for a, b in zip(frames, frames[1:], strict=False))


def test_a_tree(cartpole, tmp_path):
    path = tmp_path / "tree.svg"
    watch(
        cartpole, "--best", f"--tree={path}", "--tree_step=2", "--simulations=20", "--tree_nodes=15"
    )
    root = ElementTree.parse(path).getroot()
    visits = [int(e.get("data-visits")) for e in root.iter() if e.get("data-visits")]
    assert len(visits) == 15 and max(visits) == 21
    assert "20 simulations; the 15 most visited of 21 nodes; 6 left out" in "".join(root.itertext())


def test_text(cartpole):
    output = watch(cartpole, "--max_steps=3", "--seed=4")
    lines = output.strip().splitlines()
    assert len(lines) == 4 and lines[-1].startswith("episode 1  step 3  reward 1  return 3  (end)")
    assert all("value" in line and "policy [" in line and "line [" in line for line in lines[:3])
    assert watch(cartpole, "--max_steps=3", "--seed=4") == output


@pytest.mark.slow
def test_an_agent_without_search(cartpole, tmp_path):
    message = watch(cartpole, "--simulations=0", f"--tree={tmp_path / 't.svg'}", status=2)
    assert (
        message
        == "error: --tree needs an agent that searches, and this agent acts without a search\n"
    )
    output = watch(cartpole, "--simulations=0", "--max_steps=2")
    assert "line [" not in output and "policy [" in output


def test_a_game_in_the_terminal(tic_tac_toe):
    moves = "".join(f"{c}{r}\n" for r in (1, 2, 3) for c in "abc")
    output = watch(tic_tac_toe, "--play=terminal", text=f"Z\no\nwhat\n{moves}")
    assert "there is no side 'z'; enter X, O, or q" in output
    assert "you are O and move second (seed " in output
    assert "there is no move 'what'" in output
    # Training has random openings; a game against the user starts with an empty board.
    first, second = output.split("  1 ")[1:3]
    empty, moved = ("".join(text.splitlines()[:3]) for text in (first, second))
    assert "X" not in empty and "O" not in empty
    assert moved.count("X") == 1 and "O" not in moved
    assert output.strip().splitlines()[-1] in ("you won", "the agent won", "a draw")


def test_the_browser_ends_on_interrupt(tic_tac_toe):
    # A handler of this process is the default in the next one, even where it was ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, PROGRAM, tic_tac_toe, "--play=browser", "--port=0"],
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            url = process.stdout.readline().split()[1]
            with urllib.request.urlopen(url, timeout=60) as answer:
                assert b"<svg" in answer.read()
            games = [_new_game(url, seat=0) for _ in range(2)]
            for game in games:
                assert game["moves"] == [] and not np.any(game["stones"])
            assert games[0]["seed"] != games[1]["seed"]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()


def _new_game(url, seat):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}new", json.dumps({"seat": seat}).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "--workdir is missing"),
        (["--workdir=/missing"], "holds no experiment"),
        (["--workdir=x", "--video=v.avi"], "ends with .mp4 or .gif"),
        (["--workdir=x", "--video=v.gif", "--tree=t.svg"], "--video and --tree exclude each other"),
        (["--workdir=x", "--tree=t.png"], "must end with .svg"),
        (["--workdir=x", "--tree=missing/t.svg"], "the folder of --tree does not exist: 'missing'"),
        (["--workdir=x", "--video=v.gif", "--fps=0"], "--fps must be above 0"),
        (["--workdir=x", "--play=phone"], "should be one of <terminal|browser>"),
        (["--workdir=x", "--episodes=0"], "episodes"),
        (["--workdir=x", "--opening_moves=1"], "--opening_moves needs --self_play or --play"),
        (["--workdir=x", "--seconds_per_move=1"], "--seconds_per_move needs --play"),
        (["--workdir=x", "--resign_below=0.9"], "--resign_below needs --play"),
        (["--workdir=x", "--self_play", "--play=browser"], "--self_play and --play exclude each"),
        (["--workdir=x", "--port=0", "--play=terminal"], "--port needs --play=browser"),
        (["--workdir=x", "--seat=0"], "--seat needs --play"),
        (["--workdir=x", "--fps=1", "--tree=t.svg"], "--fps needs --video"),
        (["--workdir=x", "--tree_step=1"], "--tree_step needs --tree"),
        (["--workdir=x", "--tree_nodes=9"], "--tree_nodes needs --tree"),
        (
            ["--workdir=x", "--play=terminal", "--seconds_per_move=1", "--simulations=9"],
            "--simulations and --seconds_per_move exclude each other",
        ),
    ],
)
def test_mistakes_are_one_line(flags, message):
    error = watch(*flags, status=2)
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.slow
def test_mistakes_about_a_run(cartpole, tmp_path):
    for flags, message in [
        (["--self_play"], "--self_play needs a run of a two-player game"),
        (["--play=terminal"], "--play needs a run of a two-player board game"),
        ([f"--tree={tmp_path / 't.svg'}", "--tree_step=1000"], "the episode ends before step 1000"),
    ]:
        error = watch(cartpole, *flags, status=2)
        assert message in error and error.count("\n") == 1
