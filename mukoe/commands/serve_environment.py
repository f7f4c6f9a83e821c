"""Serves an environment over dm_env_rpc to several clients.

mukoe serve_environment --env=CartPole-v1 --port=5555
mukoe serve_environment --config=configs/atari.py --config.environment.game=Pong
mukoe train --env=dm_env_rpc://localhost:5555 --workdir=runs/remote

Each client gets an environment of its own. There is no authentication: the server is meant for this
machine or, with --host, for a private network.
"""

import os
import signal
import sys
import time
from typing import Any, NoReturn

from absl import flags

from mukoe.commands.environment_flags import EnvironmentFields, environment_config
from mukoe.configuration import DEFINE_config, run_main
from mukoe.environments.dm_env_rpc.config import require_dm_env_rpc
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.interruption import STATUS_INTERRUPTED, collected_signals
from mukoe.terminal.progress_line import erase_line

CONFIG = DEFINE_config(None)
ENV = flags.DEFINE_string(
    "env",
    None,
    "Name of an environment instead of the config's; mukoe environments lists all names.",
)
PORT = flags.DEFINE_integer("port", 0, "Port of the server; 0 for a free port.", 0, 65535)
HOST = flags.DEFINE_string("host", "127.0.0.1", "Address of the interface to listen on.")
MAX_CLIENTS = flags.DEFINE_integer("max_clients", 256, "Maximum number of simultaneous clients.", 1)

_POLL_SECONDS = 0.1


def make_config() -> Any:
    """Returns the configuration of the environment, below `environment`."""
    config = environment_config(CONFIG, ENV.value)
    if config is None:
        raise UserError("give --env, such as --env=CartPole-v1, or --config")
    return config


def main() -> int:
    """Serves until SIGINT or SIGTERM, and returns the exit status."""
    require_dm_env_rpc()
    # Without gRPC's own messages about a port that is in use.
    quiet = {"GRPC_VERBOSITY": "NONE"}
    set_process_environment(process_environment(threads=1, cpu_only=True) | quiet)

    from mukoe.environments.dm_env_rpc.server import Server
    from mukoe.environments.dm_env_rpc.single import single_environments

    if not HOST.value:
        raise UserError("--host is empty; give an interface, such as --host=127.0.0.1")
    config = make_config()
    make_environment = single_environments(config.make_factory())
    with collected_signals() as signals:
        server = Server(
            make_environment, HOST.value, PORT.value, MAX_CLIENTS.value, type(config).__name__
        )
        erase_line()
        print(f"serving {config} at dm_env_rpc://{HOST.value}:{server.port}", flush=True)
        while not signals:
            time.sleep(_POLL_SECONDS)
        idle = server.stop()
    status = STATUS_INTERRUPTED if signal.SIGINT in signals else 0
    if not idle:
        # An environment that does not return from a call would block the exit.
        print("exited while an environment was stepping", file=sys.stderr, flush=True)
        os._exit(status)
    return status


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main, {"config": lambda: EnvironmentFields(make_config())})
