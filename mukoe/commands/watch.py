"""Shows the decisions of an agent and its search as text, as a video, as a tree, or in a game.

mukoe watch --workdir=runs/cartpole --video=cartpole.mp4
"""

import contextlib
import itertools
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from absl import flags

from mukoe.commands import checkpoint_flags, move_time_flags, resign_flags, search_flags
from mukoe.configuration import run_main
from mukoe.configuration.bounds import LARGEST_COUNT, LARGEST_SEED
from mukoe.environments.pgx.games import MAX_OPENING_MOVES
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.progress_line import erase_line, process_line, show_phase
from mukoe.terminal.progress_text import Progress

if TYPE_CHECKING:
    from mukoe.environments.vector import VectorEnvironment
    from mukoe.layouts.common.stored_run import StoredRun
    from mukoe.viewing.board_game import BoardGame
    from mukoe.viewing.episodes import EpisodeStep
    from mukoe.viewing.inspected_agent import InspectedAgent

flags.adopt_module_key_flags(checkpoint_flags)
SEED = flags.DEFINE_integer(
    "seed",
    None,
    "Seed of the episodes, by default 0. Games of --play have successive seeds from this one, by "
    "default from a random one.",
    0,
    LARGEST_SEED,
)
EPISODES = flags.DEFINE_integer("episodes", 1, "Number of episodes.", lower_bound=1)
MAX_STEPS = flags.DEFINE_integer(
    "max_steps", 2_000, "Maximum number of steps of an episode.", lower_bound=1
)
SELF_PLAY = flags.DEFINE_bool(
    "self_play", False, "The agent plays all sides of a game of two players or more."
)
VIDEO = flags.DEFINE_string("video", None, "Video file of the episodes, .mp4 or .gif.")
FPS = flags.DEFINE_float(
    "fps", None, "Steps per second of the video; by default 15, and 1 for board games."
)
TREE = flags.DEFINE_string("tree", None, "SVG file of one search tree.")
TREE_STEP = flags.DEFINE_integer(
    "tree_step", 0, "Step of the episode whose tree is drawn.", 0, LARGEST_COUNT
)
TREE_NODES = flags.DEFINE_integer(
    "tree_nodes", 60, "Maximum number of nodes of the tree.", lower_bound=1
)
PLAY = flags.DEFINE_enum(
    "play", None, ["terminal", "browser"], "Play a board game against the agent."
)
SEAT = flags.DEFINE_integer(
    "seat",
    None,
    "Seat of the user: 0 moves first, 1 second. By default, the user is asked in the terminal and "
    "moves first in the first game of the browser.",
    0,
    1,
)
flags.adopt_module_key_flags(move_time_flags)
flags.adopt_module_key_flags(search_flags)
OPENING_MOVES = flags.DEFINE_integer(
    "opening_moves",
    0,
    "Random moves of each side at the start of a game of --play or --self_play.",
    0,
    MAX_OPENING_MOVES,
)
flags.adopt_module_key_flags(resign_flags)
PORT = flags.DEFINE_integer(
    "port", 8000, "Port of the page of --play=browser; 0 for a free port.", 0, 65535
)


def main() -> int:
    """Shows the agent and returns the exit status."""
    workdir = checkpoint_flags.require_workdir("runs/cartpole")
    _check_flags()
    seconds = move_time_flags.seconds_per_move()
    # Gymnasium renders to arrays; SDL must not open a display.
    set_process_environment({**process_environment(), "SDL_VIDEODRIVER": "dummy"})
    _check_outputs()

    from mukoe.evaluation.decision_time import with_seconds_per_move
    from mukoe.evaluation.players import open_agent
    from mukoe.viewing.inspected_agent import InspectedAgent

    run = open_agent(
        checkpoint_flags.reference(workdir),
        search_flags.SIMULATIONS.value,
        changes=search_flags.search_changes(),
    )
    if seconds is not None:
        run = with_seconds_per_move(run, seconds)
    agent = InspectedAgent(run.experiment.builder, run.environment_spec, run.params)
    if (TREE.value or PLAY.value) and not agent.searches:
        flag = "tree" if TREE.value else "play"
        raise UserError(
            f"--{flag} needs an agent that searches, and this agent acts without a search"
        )
    show = _play if PLAY.value else _write_tree if TREE.value else _write_video
    return (show if VIDEO.value or TREE.value or PLAY.value else _print)(run, agent)


def _check_flags() -> None:
    """Raises a `UserError` for flags that exclude each other, are out of range or do nothing."""
    for excluding in ((VIDEO, TREE, PLAY), (SELF_PLAY, PLAY)):
        asked = [f"--{flag.name}" for flag in excluding if flag.value]
        if len(asked) > 1:
            raise UserError(f"{' and '.join(asked)} exclude each other: give one of them")
    if FPS.value is not None and not 0 < FPS.value <= 240:
        raise UserError(f"--fps must be above 0 and at most 240, not {FPS.value:g}")
    if OPENING_MOVES.value and not (PLAY.value or SELF_PLAY.value):
        raise UserError("--opening_moves needs --self_play or --play")
    if PORT.present and PLAY.value != "browser":
        raise UserError("--port needs --play=browser")
    for flag, needed in (
        (move_time_flags.SECONDS_PER_MOVE, PLAY),
        (resign_flags.RESIGN_BELOW, PLAY),
        (SEAT, PLAY),
        (FPS, VIDEO),
        (TREE_STEP, TREE),
        (TREE_NODES, TREE),
    ):
        if flag.present and not needed.value:
            raise UserError(f"--{flag.name} needs --{needed.name}")


def _check_outputs() -> None:
    if VIDEO.value:
        try:
            from mukoe.viewing.video import check_video_path
        except ImportError as error:
            raise UserError(
                f"--video needs the extra 'video': pip install 'mukoe[video]' ({error})"
            ) from error
        check_video_path(Path(VIDEO.value))
    if TREE.value and Path(TREE.value).suffix.lower() != ".svg":
        raise UserError(f"--tree must end with .svg, unlike '{TREE.value}'")
    if TREE.value and not Path(TREE.value).parent.is_dir():
        raise UserError(f"the folder of --tree does not exist: '{Path(TREE.value).parent}'")


def _title(run: "StoredRun") -> str:
    from mukoe.evaluation.episodes import environment_name

    return f"{environment_name(run)}, learner step {int(run.params.learner_steps)}"


@contextlib.contextmanager
def _environment(run: "StoredRun", drawn: bool = False) -> Iterator["VectorEnvironment"]:
    """Makes the environment of the episodes, and closes it."""
    from mukoe.types import num_reward_players, plays_in_turns

    config: Any = run.config.environment
    spec = run.environment_spec
    if SELF_PLAY.value and not (plays_in_turns(spec) or num_reward_players(spec)):
        raise UserError("--self_play needs a run of a game of two players or more")
    if drawn and hasattr(config, "with_rendering"):
        config = config.with_rendering()
    if SELF_PLAY.value and hasattr(config, "without_openings"):
        config = config.without_openings()
    environment = config.make_factory()(SEED.value or 0, 1, not SELF_PLAY.value)
    with contextlib.closing(environment):
        yield environment


def _episodes(
    agent: "InspectedAgent", environment: "VectorEnvironment", count: int
) -> Iterator["EpisodeStep"]:
    from mukoe.viewing.episodes import play_episode

    show_phase("compiling the policy")
    for episode in range(count):
        seed = (SEED.value or 0) if episode == 0 else None
        opening_moves = 2 * OPENING_MOVES.value
        yield from play_episode(agent, environment, episode, MAX_STEPS.value, seed, opening_moves)


def _counted(phase: str, steps: Iterator["EpisodeStep"]) -> Iterator["EpisodeStep"]:
    """Yields the steps, and counts them on the progress line."""
    for count, step in enumerate(steps, 1):
        process_line().update(Progress(phase, count))
        yield step


def _print(run: "StoredRun", agent: "InspectedAgent") -> int:
    from mukoe.viewing.action_names import action_names
    from mukoe.viewing.terminal import print_episode

    with _environment(run) as environment:
        names = action_names(environment)
        steps = _episodes(agent, environment, EPISODES.value)
        first = next(steps)
        erase_line()
        print_episode(itertools.chain([first], steps), environment, names)
    return 0


def _write_video(run: "StoredRun", agent: "InspectedAgent") -> int:
    from mukoe.types import plays_in_turns
    from mukoe.viewing.action_names import action_names
    from mukoe.viewing.episode_pictures import draw_episode
    from mukoe.viewing.panel import Panel
    from mukoe.viewing.video import write_video

    _check_rendering(run)
    with _environment(run, drawn=True) as environment:
        panel = Panel(action_names(environment), _title(run))
        steps = _counted("drawing frame", _episodes(agent, environment, EPISODES.value))
        episodes = itertools.groupby(steps, key=lambda step: step.episode)
        pictures = itertools.chain.from_iterable(
            draw_episode(panel, episode, environment) for _, episode in episodes
        )
        fps = FPS.value or (1.0 if plays_in_turns(run.environment_spec) else 15.0)
        path = Path(str(VIDEO.value))
        count = write_video(path, pictures, fps)
    erase_line()
    print(f"{path}: {count} frames, {count / fps:.1f} s")
    return 0


def _check_rendering(run: "StoredRun") -> None:
    """Raises a UserError if the environment cannot be drawn, before the first search."""
    from mukoe.viewing.episodes import render

    try:
        with warnings.catch_warnings():
            # Gymnasium warns if there is no such render mode; the error below says so.
            warnings.filterwarnings("ignore", ".*render_mode", UserWarning)
            with _environment(run, drawn=True) as environment:
                environment.reset()
                render(environment)
    except UserError as error:
        raise UserError(f"--video needs pictures of the environment: {error}") from error


def _write_tree(run: "StoredRun", agent: "InspectedAgent") -> int:
    from mukoe.system import write_atomically
    from mukoe.viewing.action_names import action_names
    from mukoe.viewing.tree_svg import draw_tree

    with _environment(run) as environment:
        steps = _counted("playing step", _episodes(agent, environment, 1))
        step = next(itertools.islice(steps, TREE_STEP.value, None), None)
        if step is None or step.decision is None:
            raise UserError(
                f"the episode ends before step {TREE_STEP.value}; give a lower --tree_step"
            )
        if step.decision.tree is None:
            raise UserError(f"step {TREE_STEP.value} is in the opening; give a higher --tree_step")
        names = action_names(environment)
    title = f"{_title(run)}: the search at step {TREE_STEP.value}"
    path = Path(str(TREE.value))
    write_atomically(path, draw_tree(step.decision, names, title, TREE_NODES.value))
    erase_line()
    print(path)
    return 0


def _play(run: "StoredRun", agent: "InspectedAgent") -> int:
    from mukoe.evaluation.players import two_player_game
    from mukoe.viewing.board import find_board
    from mukoe.viewing.board_game import BoardGame

    game = two_player_game(run)
    if game is None:
        raise UserError("--play needs a run of a two-player board game")
    board = find_board(run.environment_spec, game)
    environment: Any = run.config.environment
    factory = environment.without_openings().make_factory()
    rule = resign_flags.resignation()
    seeds = itertools.count(secrets.randbelow(10**6) if SEED.value is None else SEED.value)

    def new_game(seat: int) -> "BoardGame":
        seed = next(seeds) % (LARGEST_SEED + 1)
        moves = 2 * OPENING_MOVES.value
        return BoardGame(agent, factory(seed, 1, False), board, seat, seed, moves, rule)

    erase_line()
    if PLAY.value == "terminal":
        from mukoe.viewing.terminal import choose_seat, play_in_terminal

        seat = choose_seat() if SEAT.value is None else SEAT.value
        if seat is not None:
            play_in_terminal(new_game(seat))
        return 0

    from mukoe.viewing.browser import GameServer

    server = GameServer(new_game, SEAT.value or 0, PORT.value)
    print(f"open {server.url} (Ctrl-C ends)", flush=True)
    try:
        server.serve()
    finally:
        server.close()
    return 0


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
