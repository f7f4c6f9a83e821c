"""Runs one node of a distributed program, such as in a container.

CLUSTER_SPEC='{"cluster": {"replay": ["HOST:PORT"], "counter": [...], ...}}' \
    mukoe run_node --node=actor/0 --config=configs/cartpole.py --inference=local \
    --workdir=/shared/run

All nodes get the same CLUSTER_SPEC and config, and a workdir on a shared file system. The
environment variable MUKOE_FLAGS holds further flags.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.commands import training
from mukoe.configuration import DEFINE_config, prepare_workdir
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import ACCELERATED_GROUPS
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.progress_line import erase_line
from mukoe.viewing.tensorboard_episodes import drawn_experiment

flags.adopt_module_key_flags(training)
CONFIG = DEFINE_config("configs/cartpole.py")
SECRET_FILE = flags.DEFINE_string(
    "secret_file",
    None,
    "File with the secret of the program's connections, the same for all nodes (zeromq).",
)
NODE = flags.DEFINE_string("node", None, "GROUP/INDEX, such as learner/0 or actor/1.")

# Flags without an effect on a node.
_OF_PROGRAMS = (
    training.FORK,
    training.LAUNCHER,
    training.RAY_ADDRESS,
    training.DRY_RUN,
    training.GCP_PROJECT,
    training.GCP_SERVICE_ACCOUNT,
    training.GCP_LOCATION,
)


def main() -> int:
    """Replaces this process by the node."""
    erase_line()
    group, _, index = (NODE.value or "").partition("/")
    if not group or not index.isdecimal():
        raise UserError(f"--node is GROUP/INDEX, such as --node=actor/0, not {NODE.value!r}")
    for flag in _OF_PROGRAMS:
        if flag.present:
            raise UserError(f"--{flag.name} is for the start of a whole program, not of a node")
    training.require_workdir("/shared/run")
    config = training.load_config(CONFIG)
    if config.distributed.inference == "auto":
        raise UserError(
            "--inference=auto depends on the machine, and nodes run on different machines: give "
            "--inference=local, server or split"
        )
    threads = config.distributed.threads_of(group)
    set_process_environment(process_environment(threads, group not in ACCELERATED_GROUPS))

    from mukoe.layouts.distributed.runtimes import cluster_spec

    runtime = training.chosen_runtime()
    secret = _secret(runtime)
    spec = cluster_spec.from_environment(os.environ)
    workdir = Path(training.WORKDIR.value or "").expanduser().resolve()
    if group == "counter":
        exists = (workdir / "config.json").exists()
        prepare_workdir(
            workdir,
            config,
            CONFIG.filename,
            exists,
            training.MAY_DIFFER,
            {"layout": "distributed"},
        )
    experiment = drawn_experiment(config)
    if runtime == "launchpad":
        from mukoe.layouts.distributed.runtimes.launchpad.become_node import become_node

        become_node(experiment, workdir, spec, group, int(index))
    from mukoe.layouts.distributed.runtimes.launcher import leave
    from mukoe.layouts.distributed.runtimes.zeromq import become_node as zeromq

    assert secret is not None
    # Threads that wait for a peer are not joined.
    leave(zeromq.become_node(config, experiment, workdir, spec, f"{group}/{index}", secret))


def _secret(runtime: str) -> bytes | None:
    """Reads --secret_file, which the runtime zeromq requires.

    Raises:
      UserError: the flag is missing, or does not suit the runtime.
    """
    path = SECRET_FILE.value
    if runtime == "launchpad":
        if path is not None:
            raise UserError("--secret_file is for --runtime=zeromq: Launchpad has no secrets")
        return None
    if path is None:
        raise UserError(
            "--runtime=zeromq listens on TCP here and needs --secret_file=FILE, the same for all "
            "nodes: write one with openssl rand -hex 32"
        )
    from mukoe.layouts.distributed.runtimes.zeromq.endpoints import read_secret

    return read_secret(Path(path).expanduser())


def run() -> NoReturn:
    """Runs `main` as the program."""
    sys.argv += shlex.split(os.environ.get("MUKOE_FLAGS", ""))
    training.run(main, lambda: training.load_config(CONFIG))
