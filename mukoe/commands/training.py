"""Flags and start of a run, shared by the programs that train."""

import functools
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from absl import flags

from mukoe.commands.layout_flags import (
    check_demonstrations,
    check_layout_flags,
    check_offline,
)
from mukoe.configuration import (
    DEFINE_config,
    apply_overrides,
    load_config_file,
    prepare_workdir,
    resumed_config,
    run_main,
    stored_launch,
    with_values,
)
from mukoe.environments.registry import named_environment
from mukoe.errors import UserError
from mukoe.layouts.common import default_config
from mukoe.layouts.common.config_choice import default_layout, with_environment
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.common.forking import ForkPoint, copy_fork, find_fork_point
from mukoe.layouts.common.offline_sources import (
    Source,
    canonical_text,
    join_sources,
    parse_sources,
)
from mukoe.observability.trackers.service import check_trackers
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.progress_line import erase_line, show_phase
from mukoe.viewing.tensorboard_episodes import drawn_experiment

T = TypeVar("T")

WORKDIR = flags.DEFINE_string("workdir", None, "Directory of logs and checkpoints.")
RESUME = flags.DEFINE_bool("resume", False, "Resume the run in --workdir.")
FORK = flags.DEFINE_string(
    "fork",
    None,
    "RUN or RUN@STEPS: continue from a checkpoint of the run in the workdir RUN, the newest or "
    "that at STEPS agent steps, as a new run with the changes that the command names.",
)
NUM_ACTORS = flags.DEFINE_integer("num_actors", None, "Number of actor nodes (distributed).")
NUM_REANALYSERS = flags.DEFINE_integer(
    "num_reanalysers",
    None,
    "Number of reanalyser nodes (distributed), for --config.agent.reanalyse.mode=nodes.",
)
NUM_REPLAYS = flags.DEFINE_integer(
    "num_replays",
    None,
    "Number of replay nodes, which divide the items (distributed, --runtime=zeromq).",
)
NUM_LEARNERS = flags.DEFINE_integer(
    "num_learners",
    None,
    "Number of learner nodes, each with a part of every batch (distributed, --runtime=zeromq).",
)
INFERENCE = flags.DEFINE_enum(
    "inference",
    None,
    ["auto", "local", "server", "split"],
    "Placement of the policy (distributed); see --config.distributed.inference.",
)
MAX_ACTOR_STEPS = flags.DEFINE_integer(
    "max_actor_steps", None, "Agent steps of the run, over all actors."
)
SEED = flags.DEFINE_integer("seed", None, "Seed of networks, environments, exploration and replay.")
LOG = flags.DEFINE_list(
    "log",
    None,
    "Loggers beside CSV, such as tensorboard,wandb: tensorboard, wandb, mlflow, trackio, or "
    "package.module:attribute.",
)
RUNTIME = flags.DEFINE_enum(
    "runtime",
    "auto",
    ["auto", "launchpad", "zeromq"],
    "Transport and replay service of the nodes (distributed): Launchpad with Reverb, or ZeroMQ "
    "with the replay of this package; 'auto' takes Launchpad where it is installed.",
)
LAUNCHER = flags.DEFINE_enum(
    "launcher", "launchpad", ["launchpad", "ray"], "Runtime that starts the nodes (distributed)."
)
RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    None,
    "HOST:PORT of the head of a Ray cluster, or 'local' to start one; by default the running "
    "cluster of this machine.",
)
CLUSTER = DEFINE_config(None, "cluster")
DRY_RUN = flags.DEFINE_string(
    "dry_run",
    None,
    "Folder of build contexts and job, which are not launched (--lp_launch_type=vertex_ai).",
)
GCP_PROJECT = flags.DEFINE_string(
    "gcp_project", None, "Google Cloud project instead of $GOOGLE_CLOUD_PROJECT."
)
GCP_SERVICE_ACCOUNT = flags.DEFINE_string(
    "gcp_service_account", None, "Service account instead of $GOOGLE_CLOUD_SERVICE_ACCOUNT."
)
GCP_LOCATION = flags.DEFINE_string("gcp_location", "us-central1", "Region of Vertex AI.")

# Fields and groups that may change when a run is resumed.
MAY_DIFFER = ("run", "distributed", "sebulba", "environment.address")

# Flags of layout and runtime, kept in the workdir for `--resume`.
_LAUNCH_FLAGS = (
    "layout",
    "lp_launch_type",
    "runtime",
    "launcher",
    "ray_address",
    "cluster",
    "offline",
    "demonstrations",
)


def load_config(config_file: Any, env: str | None = None) -> TrainingConfig:
    """Returns the configuration of the file, the overrides and the flags of this module.

    With --env and without --config, it is chosen for the environment. With --resume or --fork, it
    is that of the run to continue, and the flags change the fields that they name. Flags of layout
    and runtime that are not given are set to those of the run.

    Args:
      config_file: flag of `DEFINE_config`.
      env: name of an environment that replaces the file's before the overrides are applied.
    """
    if _continues_here(config_file):
        workdir = _continued_workdir()
        config = resumed_config(workdir, config_file.given)
        _restore_launch_flags(workdir)
    elif env is not None and _is_chosen():
        config = default_config.default_config(named_environment(env))
    else:
        config = load_config_file(config_file.filename)
    if env is not None and hasattr(config, "environment"):
        config = with_environment(config, named_environment(env, config.environment))
    config = apply_overrides(config, config_file.overrides)
    if not isinstance(config, TrainingConfig):
        raise UserError(f"get_config() in {config_file.filename!r} returns no TrainingConfig")
    return replace_given(
        config,
        {
            "run": {
                "max_actor_steps": MAX_ACTOR_STEPS.value,
                "seed": SEED.value,
                "loggers": None if LOG.value is None else tuple(dict.fromkeys(("csv", *LOG.value))),
            },
            "distributed": {
                "num_actors": NUM_ACTORS.value,
                "num_reanalysers": NUM_REANALYSERS.value,
                "num_replays": NUM_REPLAYS.value,
                "num_learners": NUM_LEARNERS.value,
                "inference": INFERENCE.value,
            },
        },
    )


def _continues() -> bool:
    """Returns whether the run continues from a checkpoint, its own or that of its origin."""
    return RESUME.value or FORK.value is not None


def _continued_workdir() -> Path:
    """Returns the workdir of the run to resume, or of the origin of a fork."""
    if FORK.value is not None:
        return _fork_point(FORK.value).origin
    return Path(WORKDIR.value or "").expanduser()


@functools.cache
def _fork_point(text: str) -> ForkPoint:
    """Returns the checkpoint that --fork names.

    Raises:
      UserError: there is none, the run is resumed too, or its workdir is in a bucket.
    """
    if RESUME.value:
        raise UserError("--fork starts a new run: to resume a fork, leave --fork out")
    if (WORKDIR.value or "").startswith("gs://"):
        raise UserError(
            "--fork copies a checkpoint to a --workdir on this machine, not in a bucket"
        )
    return find_fork_point(text)


def _continues_here(config_file: Any) -> bool:
    """Returns whether a run is continued whose workdir this machine can read.

    Raises:
      UserError: the run's workdir is in a bucket, and the command does not name its config.
    """
    if FORK.value is not None:
        return True
    in_bucket = (WORKDIR.value or "").startswith("gs://")
    if RESUME.value and in_bucket and config_file.given is None:
        raise UserError(
            "--resume with a workdir in a bucket needs the flags of the first command, with "
            "--config=FILE: the bucket is mounted on the nodes, not on this machine"
        )
    return RESUME.value and not in_bucket


def _restore_launch_flags(workdir: Path) -> None:
    """Sets the flags of layout and runtime that are missing to those of a run.

    The flags of its runtime are left out if the command chooses another layout.

    Raises:
      UserError: this program does not have the run's layout.
    """
    stored, known = stored_launch(workdir), flags.FLAGS
    changes_layout = "layout" in known and not known["layout"].using_default_value
    if changes_layout and known["layout"].value != stored.get("layout"):
        return
    if known["cluster"].using_default_value:
        CLUSTER.overrides = {**stored.get("cluster_overrides", {}), **CLUSTER.overrides}
    for name in _LAUNCH_FLAGS:
        if name in stored and name in known and known[name].using_default_value:
            try:
                known[name].parse(stored[name])
            except flags.Error as error:
                raise UserError(f"cannot resume {workdir} with this program: {error}") from error


def _launch_flags() -> dict[str, Any]:
    """Returns the flags of layout and runtime that have a value."""
    values = {name: flags.FLAGS[name].value for name in _LAUNCH_FLAGS if name in flags.FLAGS}
    for name in ("offline", "demonstrations"):
        if value := values.get(name):
            values[name] = canonical_text(value)
    if value := values.get("cluster"):
        values["cluster"] = str(Path(value).expanduser().resolve())
    given = {name: value for name, value in values.items() if value is not None}
    return {**given, "cluster_overrides": CLUSTER.overrides} if CLUSTER.overrides else given


def _is_chosen() -> bool:
    """Returns whether the configuration is chosen for --env, without a file or a workdir."""
    known = flags.FLAGS
    return (
        "env" in known
        and known["env"].value is not None
        and known["config"].using_default_value
        and not _continues()
    )


def _source_file(config_file: Any) -> str:
    """Returns the file that the configuration comes from."""
    return default_config.__file__ if _is_chosen() else config_file.filename


def replace_given(config: T, values: Mapping[str, Mapping[str, Any]]) -> T:
    """Returns the configuration with the values other than None, by group and field."""
    given = {
        group: {name: value for name, value in fields.items() if value is not None}
        for group, fields in values.items()
    }
    return with_values(config, given)


def require_workdir(example: str) -> None:
    """Raises a `UserError` if --workdir is missing."""
    if not WORKDIR.value:
        raise UserError(f"--workdir is missing; give a directory, such as --workdir={example}")


def train(
    config: TrainingConfig,
    config_file: Any,
    layout: str | None,
    offline: str | None = None,
    demonstrations: str | None = None,
) -> int:
    """Trains and returns the exit status; the distributed layout exits the process.

    Args:
      config: configuration of the run.
      config_file: flag of `DEFINE_config`; the workdir keeps a copy of the file.
      layout: 'local', 'sebulba' or 'distributed'; None for that of the agent.
      offline: sources of the data that are learned from, see `parse_sources`; None to act.
      demonstrations: sources of the data that are sampled beside those of the actors; None for
        none.
    """
    if layout is None:
        layout = default_layout(config)
        # Kept in the workdir for --resume.
        flags.FLAGS["layout"].value = layout
    if _is_chosen():
        print(default_config.describe(config, layout), flush=True)
    check_layout_flags(flags.FLAGS, layout, config_file.overrides)
    check_trackers(config.run.loggers)
    set_process_environment(process_environment())
    if demonstrations is not None:
        sources, stored = parse_sources(demonstrations), _stored_launch().get("demonstrations")
        check_demonstrations(join_sources(sources), layout, offline, _continues(), stored)
        if layout == "distributed":
            _launch(config, config_file, join_sources(sources))
        return _train_with_demonstrations(config, config_file, sources)
    if offline is not None:
        return _train_offline(config, config_file, layout, parse_sources(offline))
    if layout == "distributed":
        _launch(config, config_file)

    from mukoe.layouts import local, sebulba

    show_phase("building agent and environments")
    chosen = sebulba if layout == "sebulba" else local
    experiment = drawn_experiment(config)
    spec = chosen.check(experiment)
    return chosen.train(experiment, spec, _prepare(config, config_file), _continues())


def _train_offline(
    config: TrainingConfig, config_file: Any, layout: str, sources: Sequence[Source]
) -> int:
    """Learns from stored data, which are read before the workdir is made."""
    check_offline(join_sources(sources), layout, _continues(), _stored_launch().get("offline"))

    from mukoe.layouts import local
    from mukoe.layouts.common.offline_data import read_sources

    show_phase("building agent and environments")
    experiment = drawn_experiment(config)
    spec = local.check_offline(experiment)
    show_phase("reading stored data")
    data = read_sources(sources, spec, config)
    local.check_offline_data(data, experiment, spec)
    workdir = _prepare(config, config_file)
    return local.train_offline(experiment, spec, data, workdir, _continues())


def _train_with_demonstrations(
    config: TrainingConfig, config_file: Any, sources: Sequence[Source]
) -> int:
    """Trains in one process, beside demonstrations that are read before the workdir is made."""
    from mukoe.layouts import local
    from mukoe.layouts.common.demonstrations import select_demonstrations
    from mukoe.layouts.common.offline_data import read_sources

    show_phase("building agent and environments")
    experiment = drawn_experiment(config)
    spec = local.check(experiment, demonstrations=True)
    show_phase("reading demonstrations")
    data = select_demonstrations(read_sources(sources, spec, config), experiment, spec)
    workdir = _prepare(config, config_file)
    return local.train(experiment, spec, workdir, _continues(), data)


def _stored_launch() -> dict[str, Any]:
    """Returns the flags of layout and runtime of the run to continue; empty for a new run."""
    return stored_launch(_continued_workdir()) if _continues() else {}


def run(main: Callable[[], int], make_config: Callable[[], TrainingConfig]) -> NoReturn:
    """Runs `main` as the program, with --lp_launch_type where Launchpad is installed.

    Args:
      main: the program.
      make_config: loads the run's configuration, for `--help`.
    """
    try:
        import launchpad  # noqa: F401  defines --lp_launch_type
    except ImportError:
        flags.DEFINE_enum(
            "lp_launch_type",
            "local_mt",
            ["local_mt", "local_mp", "test_mt", "test_mp"],
            "A thread (local_mt) or a process (local_mp) per node (distributed).",
        )
    # `--help` lists the key flags of the program's module.
    launch_type = flags.FLAGS["lp_launch_type"]
    flags.FLAGS.register_key_flag_for_module(main.__module__, launch_type)
    run_main(
        main,
        {
            "config": make_config,
            "cluster": lambda: CLUSTER.load() if flags.FLAGS.cluster else None,
        },
    )


def _launch(
    config: TrainingConfig, config_file: Any, demonstrations: str | None = None
) -> NoReturn:
    from mukoe.layouts.distributed.runtimes.launcher import leave

    runtime = chosen_runtime()
    if LAUNCHER.value == "ray":
        leave(_launch_on_ray(runtime, config, config_file, demonstrations))
    if runtime == "zeromq":
        leave(_launch_on_zeromq(config, config_file, demonstrations))
    leave(_launch_on_launchpad(config, config_file, demonstrations))


def chosen_runtime() -> str:
    """Returns the runtime of the distributed layout.

    Raises:
      UserError: its packages are not installed, or it does not run on Vertex AI.
    """
    has_launchpad = importlib.util.find_spec("launchpad") is not None
    name = RUNTIME.value
    if name == "auto":
        name = "launchpad" if has_launchpad else "zeromq"
    needs_launchpad = flags.FLAGS.lp_launch_type == "vertex_ai"
    if not has_launchpad and (name == "launchpad" or needs_launchpad):
        raise UserError(
            "Launchpad and Vertex AI need Python 3.10 on Linux and the extra 'distributed': "
            "pip install 'mukoe[distributed]', or leave --runtime out"
        )
    if name == "zeromq" and needs_launchpad:
        raise UserError("--runtime=zeromq does not run on Vertex AI: leave it out")
    return name


def _launch_on_zeromq(config: TrainingConfig, config_file: Any, demonstrations: str | None) -> int:
    try:
        from mukoe.layouts.distributed.runtimes.zeromq import launcher
    except ImportError as error:
        raise UserError(
            "--layout=distributed needs the extra 'distributed': "
            f"pip install 'mukoe[distributed]' ({error})"
        ) from error
    from mukoe.layouts.distributed.graph import make_graph
    from mukoe.layouts.distributed.runtimes.launcher import allow_connections

    show_phase("building agent and environments")
    experiment = drawn_experiment(config)
    graph = make_graph(experiment, demonstrations=demonstrations, in_process_replay=True)
    allow_connections(experiment)
    workdir = _prepare(config, config_file)
    return launcher.launch(graph, workdir, config, _continues(), flags.FLAGS.lp_launch_type)


def _launch_on_launchpad(
    config: TrainingConfig, config_file: Any, demonstrations: str | None
) -> int:
    from mukoe.layouts.distributed.graph import make_graph
    from mukoe.layouts.distributed.runtimes.launcher import allow_connections
    from mukoe.layouts.distributed.runtimes.launchpad import launcher
    from mukoe.layouts.distributed.runtimes.launchpad.program import make_program

    if flags.FLAGS.lp_launch_type == "vertex_ai":
        if demonstrations is not None:
            raise UserError(
                "--demonstrations are files of this machine, which nodes on Vertex AI cannot read"
            )
        return _launch_on_vertex(config, config_file)
    show_phase("building agent and environments")
    experiment = drawn_experiment(config)
    graph = make_graph(experiment, demonstrations=demonstrations)
    allow_connections(experiment)
    workdir = _prepare(config, config_file)
    program, counter = make_program(graph, workdir, _continues())
    return launcher.launch(program, counter, experiment, workdir, flags.FLAGS.lp_launch_type)


def _launch_on_ray(
    runtime: str, config: TrainingConfig, config_file: Any, demonstrations: str | None
) -> int:
    from mukoe.layouts.distributed.graph import make_graph
    from mukoe.layouts.distributed.placement import place_inference
    from mukoe.layouts.distributed.ray.cluster import RayClusterConfig

    try:
        from mukoe.layouts.distributed.ray import launcher as ray_launcher
        from mukoe.layouts.distributed.ray.connection import connected

        if runtime == "zeromq":
            from mukoe.layouts.distributed.runtimes.zeromq.remote_nodes import make_remote_program
        else:
            from mukoe.layouts.distributed.runtimes.launchpad.remote_nodes import (
                make_remote_program,
            )
    except ImportError as error:
        raise UserError(
            "--launcher=ray needs the extras 'ray' and 'distributed': "
            f"pip install 'mukoe[ray,distributed]' ({error})"
        ) from error
    if flags.FLAGS.cluster:
        cluster = _load(CLUSTER, RayClusterConfig)
    else:
        cluster = apply_overrides(RayClusterConfig(), CLUSTER.overrides)
    experiment = place_inference(drawn_experiment(config), cluster.inference.has_accelerator)
    graph = make_graph(experiment, cluster.memory_of, demonstrations, runtime == "zeromq")
    with connected(RAY_ADDRESS.value):
        ray_launcher.check(experiment, cluster)
        workdir = _prepare(config, config_file)
        program = make_remote_program(graph, workdir, config, _continues())
        return ray_launcher.launch(program, experiment, workdir, cluster)


def _launch_on_vertex(config: TrainingConfig, config_file: Any) -> int:
    try:
        from mukoe.layouts.distributed.vertex import account, launch
        from mukoe.layouts.distributed.vertex.cluster import VertexClusterConfig
    except ImportError as error:
        raise UserError(
            "--lp_launch_type=vertex_ai needs the extra 'vertex': pip install 'mukoe[vertex]' "
            f"({error})"
        ) from error
    if not flags.FLAGS.cluster:
        raise UserError(
            "--lp_launch_type=vertex_ai needs the machines of each group: give "
            "--cluster=configs/cluster_vertex_cpu.py or configs/cluster_vertex_gpu.py"
        )
    cluster = _load(CLUSTER, VertexClusterConfig)
    files = launch.run_files(config, _source_file(config_file))
    experiment, workdir = drawn_experiment(config), WORKDIR.value or ""
    if DRY_RUN.value:
        pools = launch.write_dry_run(experiment, cluster, files, workdir, Path(DRY_RUN.value))
    else:
        found = account.find_account(
            GCP_PROJECT.value, GCP_SERVICE_ACCOUNT.value, GCP_LOCATION.value, os.environ
        )
        pools = launch.launch(experiment, cluster, files, workdir, found, _continues())
    erase_line()
    for pool in pools:
        print(pool.summary())
    return 0


def _load(config_file: Any, kind: type) -> Any:
    config = config_file.load()
    if not isinstance(config, kind):
        raise UserError(f"get_config() in {config_file.filename!r} returns no {kind.__name__}")
    return config


def _prepare(config: TrainingConfig, config_file: Any) -> Path:
    workdir = Path(WORKDIR.value or "")
    file = config_file.given if _continues() else _source_file(config_file)
    may_differ: Sequence[str] | None = MAY_DIFFER
    if FORK.value is not None:
        copy_fork(_fork_point(FORK.value), workdir.expanduser().resolve())
        may_differ = None
    return prepare_workdir(workdir, config, file, _continues(), may_differ, _launch_flags())
