"""Records episodes of a policy or of a human player as a Minari data set.

mukoe record --env=CartPole-v1 --dataset=cartpole/random-v0 --episodes=100
mukoe record --workdir=runs/cartpole --dataset=cartpole/muzero-v0 --steps=100000
mukoe record --env=LunarLander-v3 --dataset=lander/human-v0 --policy=human --play=browser

The data set is in `MINARI_DATASETS_PATH`, by default `~/.minari/datasets`; `minari.load_dataset`
opens it. It appears, complete, at the end. Ctrl-C ends the recording and keeps complete episodes.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from absl import flags

from mukoe.commands import checkpoint_flags
from mukoe.commands.environment_flags import EnvironmentFields, environment_config
from mukoe.configuration import DEFINE_config, run_main
from mukoe.configuration.bounds import LARGEST_COUNT, LARGEST_SEED
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.interruption import STATUS_INTERRUPTED, collected_signals, raised_interrupts
from mukoe.terminal.progress_line import erase_line, show_phase

if TYPE_CHECKING:
    from mukoe.evaluation.recorded_episodes import RecordingLength
    from mukoe.layouts.common.stored_run import StoredRun
    from mukoe.replay.datasets.writer import DatasetWriter

CONFIG = DEFINE_config(None)
ENV = flags.DEFINE_string(
    "env",
    None,
    "Name of an environment instead of the config's; mukoe environments lists all names.",
)
flags.adopt_module_key_flags(checkpoint_flags)
DATASET = flags.DEFINE_string("dataset", None, "Name of the data set, such as cartpole/random-v0.")
POLICY = flags.DEFINE_enum(
    "policy",
    None,
    ["run", "random", "human"],
    "Policy that acts, by default 'run' with --workdir and 'random' without it.",
)
EPISODES = flags.DEFINE_integer("episodes", 10, "Number of episodes.", 1, LARGEST_COUNT)
STEPS = flags.DEFINE_integer(
    "steps", None, "Number of steps, up to whole episodes, instead of --episodes.", 1, LARGEST_COUNT
)
MAX_STEPS = flags.DEFINE_integer(
    "max_steps",
    27_000,
    "Maximum number of steps of an episode; a longer one is stored in parts.",
    1,
    LARGEST_COUNT,
)
NUM_ENVS = flags.DEFINE_integer(
    "num_envs", 8, "Maximum number of environments stepped as one batch.", 1, LARGEST_COUNT
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of environments and actions.", 0, LARGEST_SEED)
EXPLORE = flags.DEFINE_bool(
    "explore", False, "The run's policy acts with the exploration of its actors."
)
SIMULATIONS = flags.DEFINE_integer(
    "simulations", None, "Simulations per step of the agent instead of the run's value."
)

FPS = flags.DEFINE_float(
    "fps",
    None,
    "Steps per second of --policy=human, by default 15 in Atari; 0, the default of other "
    "environments, waits for a key at every step.",
    0.0,
    240.0,
)

PLAY = flags.DEFINE_enum(
    "play",
    None,
    ["terminal", "browser"],
    "Place where --policy=human plays, by default the terminal.",
)
PORT = flags.DEFINE_integer(
    "port", 8000, "Port of the page of --play=browser; 0 for a free port.", 0, 65535
)

_ATARI_FPS = 15.0
_OF_RUN = ("explore", "best", "step", "simulations")


def main() -> int:
    """Records and returns the exit status."""
    if not DATASET.value:
        raise UserError("--dataset is missing; give a name, such as cartpole/random-v0")
    policy = POLICY.value or ("run" if checkpoint_flags.WORKDIR.value else "random")
    _check_flags(policy)
    # Gymnasium renders to arrays; SDL must not open a display.
    set_process_environment({**process_environment(), "SDL_VIDEODRIVER": "dummy"})

    from mukoe.evaluation.players import open_agent
    from mukoe.replay.datasets.storage import require_minari
    from mukoe.replay.datasets.writer import check_name

    require_minari()
    check_name(DATASET.value)
    run = None
    if checkpoint_flags.WORKDIR.value:
        workdir = Path(checkpoint_flags.WORKDIR.value).expanduser()
        run = open_agent(checkpoint_flags.reference(workdir), SIMULATIONS.value)
    config = make_config() if run is None else run.config.environment
    if policy == "human":
        return _record_user(config, run)
    return _record_policy(config, run if policy == "run" else None)


def make_config() -> Any:
    """Returns the configuration of the environment, below `environment`."""
    config = environment_config(CONFIG, ENV.value)
    if config is None:
        raise UserError("give --env, such as --env=CartPole-v1, or --config, or --workdir")
    return config


def _check_flags(policy: str) -> None:
    if policy == "run" and not checkpoint_flags.WORKDIR.value:
        raise UserError("--policy=run needs --workdir, the workdir of a run")
    if checkpoint_flags.WORKDIR.value and (ENV.value or flags.FLAGS.config or CONFIG.overrides):
        raise UserError("--workdir gives the environment: leave out --env and --config")
    if STEPS.value is not None and not flags.FLAGS["episodes"].using_default_value:
        raise UserError("--episodes and --steps exclude each other: give one of them")
    unused = [name for name in _OF_RUN if not flags.FLAGS[name].using_default_value]
    for name in ("fps", "play"):
        if policy != "human" and flags.FLAGS[name].value is not None:
            raise UserError(f"--{name} is for --policy=human: leave it out")
    if PLAY.value != "browser" and not flags.FLAGS["port"].using_default_value:
        raise UserError("--port is for --play=browser: leave it out")
    if policy == "human" and STEPS.value is not None:
        raise UserError("--policy=human counts --episodes: leave out --steps")
    if policy != "run" and unused:
        raise UserError(f"--{unused[0]} is for --policy=run: leave it out")


def _record_policy(config: Any, run: "StoredRun | None") -> int:
    """Records the agent of a run, or random actions without one; returns the exit status."""
    from mukoe.acting.random_policy import make_random_policy
    from mukoe.evaluation.recorded_episodes import no_params, record_policy
    from mukoe.terminal.counted_progress import CountedProgress
    from mukoe.types import Row

    show_phase("building agent and environments")
    length = _length()
    num_envs = min(NUM_ENVS.value, length.total)
    environment = config.make_factory()(SEED.value, num_envs, False)
    spec = environment.spec
    policy = make_random_policy(spec) if run is None else run.make_policy(not EXPLORE.value)
    params = no_params() if run is None else run.params
    algorithm = "random" if run is None else type(run.config.agent).__name__.removesuffix("Config")
    with (
        collected_signals() as signals,
        _writer(spec, config, algorithm) as writer,
        CountedProgress("recording", length.total) as progress,
    ):

        def add(episode: Row) -> None:
            writer.write(episode)
            progress.add(length.counted(episode))

        record_policy(policy, params, environment, length, SEED.value, add, lambda: bool(signals))
        if signals and not writer.episodes:
            writer.discard()
    return _report(writer, bool(signals))


def _record_user(config: Any, run: "StoredRun | None") -> int:
    """Records the user, in two-player games against the agent of a run or random moves."""
    from mukoe.types import plays_in_turns
    from mukoe.viewing.inspected_agent import InspectedAgent
    from mukoe.viewing.user_browser import BrowserInterface
    from mukoe.viewing.user_episodes import (
        AgentOpponent,
        Opponent,
        RandomOpponent,
        UserInterface,
        record_user,
    )
    from mukoe.viewing.user_terminal import TerminalInterface

    environment = _drawn(config).make_factory()(SEED.value, 1, False)
    with contextlib.closing(environment):
        spec = environment.spec
        opponent: Opponent
        if run is not None and plays_in_turns(spec):
            opponent = AgentOpponent(InspectedAgent(run.experiment.builder, spec, run.params))
        else:
            opponent = RandomOpponent(spec, SEED.value)
        erase_line()
        fps = _steps_per_second(config)
        interface: UserInterface
        if PLAY.value == "browser":
            interface = BrowserInterface(environment, fps, EPISODES.value, PORT.value)
        else:
            interface = TerminalInterface(environment, fps)
        interrupted = False
        with _writer(spec, config, "human") as writer:
            try:
                with raised_interrupts():
                    record_user(
                        environment,
                        opponent,
                        interface,
                        EPISODES.value,
                        MAX_STEPS.value,
                        writer.write,
                    )
            except KeyboardInterrupt:
                interrupted = True
                if not writer.episodes:
                    writer.discard()
    return _report(writer, interrupted)


def _drawn(config: Any) -> Any:
    """Returns the configuration of an environment that can be drawn while it trains."""
    if hasattr(config, "with_rendering"):
        return config.with_rendering()
    return dataclasses.replace(config, backend="python") if hasattr(config, "backend") else config


def _steps_per_second(config: Any) -> float:
    if FPS.value is not None:
        return FPS.value
    return _ATARI_FPS if type(config).__name__ == "AtariConfig" else 0.0


def _report(writer: "DatasetWriter", interrupted: bool) -> int:
    """Prints the size of the data set, and returns the exit status."""
    erase_line()
    end = "interrupted: " if interrupted else ""
    text = f"{writer.name}: {writer.episodes:,} episodes, {writer.steps:,} steps"
    print(f"{end}{text if writer.episodes else 'no complete episode, nothing was written'}")
    return STATUS_INTERRUPTED if interrupted else 0


def _length() -> "RecordingLength":
    from mukoe.evaluation.recorded_episodes import RecordingLength

    episodes = EPISODES.value if STEPS.value is None else None
    return RecordingLength(episodes, STEPS.value or 0, MAX_STEPS.value)


def _writer(spec: Any, config: Any, algorithm: str) -> "DatasetWriter":
    from mukoe.layouts.common.dataset_metadata import describe_environment
    from mukoe.replay.datasets.writer import DatasetWriter

    metadata = {**describe_environment(config), "algorithm_name": algorithm}
    return DatasetWriter(str(DATASET.value), spec, metadata)


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main, {"config": lambda: EnvironmentFields(make_config())})
