"""Processes of a program on this machine: Launchpad makes the commands, a supervisor runs them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import launchpad as lp
from launchpad.launch.run_locally import run_locally
from launchpad.nodes.python.local_multi_processing import PythonProcess

from mukoe.layouts.common.experiment import ACCELERATED_GROUPS, ExperimentConfig
from mukoe.layouts.distributed.supervision.forking import ForkingStarter
from mukoe.layouts.distributed.supervision.node import LocalCommand
from mukoe.layouts.distributed.supervision.supervisor import Restart, Supervisor
from mukoe.system import process_environment
from mukoe.terminal.progress_line import ProgressLine


def supervise_locally(
    program: lp.Program,
    experiment: ExperimentConfig,
    workdir: Path,
    starter: ForkingStarter,
    line: ProgressLine,
    on_restart: Callable[[Restart], None],
) -> Supervisor:
    """Starts the processes of a program on this machine.

    Args:
      program: program of `make_program`.
      experiment: agent, environment and settings.
      workdir: directory of the run.
      starter: starter of the processes.
      line: progress line, which shows the open ports.
      on_restart: function called before each restart.
    """
    config = experiment.distributed

    def start(commands: Sequence[LocalCommand]) -> Supervisor:
        for command in commands:
            # A negative notice: Launchpad in the node never kills it.
            command.command_as_list.append("--lp_termination_notice_secs=-1")
        return Supervisor(
            workdir,
            commands,
            config.max_restarts,
            config.hang_seconds,
            on_restart,
            start_process=starter,
        )

    with _running_commands_by(start):
        supervisor: Supervisor = lp.launch(
            program,
            launch_type="local_mp",
            terminal="output_to_files",
            local_resources=_local_resources(program, experiment),
        )
    ports = [
        address.resolve().rpartition(":")[2]
        for node in program.get_all_nodes()
        for address in node.addresses
    ]
    line.message(
        f"ports {', '.join(ports)} are open on all network interfaces for every host that reaches "
        "this machine: see docs/reliability.md"
    )
    return supervisor


def _local_resources(program: lp.Program, experiment: ExperimentConfig) -> dict[str, Any]:
    """Returns the threads and devices of each group's processes."""
    return {
        group: PythonProcess(
            env=process_environment(
                experiment.distributed.threads_of(group), cpu_only=group not in ACCELERATED_GROUPS
            )
        )
        for group in program.groups
    }


@contextlib.contextmanager
def _running_commands_by(start: Callable[[Sequence[LocalCommand]], Any]) -> Iterator[None]:
    """Makes Launchpad pass its commands to `start` instead of running them."""
    runners = run_locally._LOCAL_LAUNCHER_MAP
    name = run_locally.SEPARATE_TERMINAL_OUTPUT_TO_FILES
    original = runners[name]
    runners[name] = start
    try:
        yield
    finally:
        runners[name] = original
