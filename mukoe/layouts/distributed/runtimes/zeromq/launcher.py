"""Start of a program on this machine, in processes or in threads."""

import contextlib
import dataclasses
import functools
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cloudpickle

from mukoe.errors import UserError
from mukoe.layouts.common.experiment import (
    ACCELERATED_GROUPS,
    ExperimentConfig,
    TrainingConfig,
)
from mukoe.layouts.distributed.graph import ProgramGraph
from mukoe.layouts.distributed.runtimes.launcher import run_to_end
from mukoe.layouts.distributed.runtimes.runs import ProcessRun, Run
from mukoe.layouts.distributed.runtimes.zeromq import node_process
from mukoe.layouts.distributed.runtimes.zeromq.node_runtime import ZeroMQRuntime
from mukoe.layouts.distributed.runtimes.zeromq.program import (
    Program,
    make_program,
    serves,
    titles,
)
from mukoe.layouts.distributed.supervision.forking import ForkingStarter
from mukoe.layouts.distributed.supervision.supervisor import Restart, Supervisor
from mukoe.system import process_environment
from mukoe.terminal.progress_line import ProgressLine

# Unix sockets have paths of at most 107 bytes.
_LONGEST_FOLDER = 80


@dataclasses.dataclass(frozen=True)
class NodeCommand:
    """Command of a node's process, a `supervision.node.LocalCommand`."""

    title: str
    command_as_list: list[str]
    env_overrides: dict[str, str]


def launch(
    graph: ProgramGraph, workdir: Path, config: TrainingConfig, resume: bool, launch_type: str
) -> int:
    """Runs a program to its end and returns its exit status; see `run_to_end`.

    Args:
      graph: checked experiment.
      workdir: directory of the run.
      config: configuration of the run.
      resume: True to resume from the newest checkpoint in `workdir`, if there is one.
      launch_type: 'local_mp' for a process per node, 'local_mt' for a thread per node.

    Raises:
      UserError: several learners would be threads of one process.
    """
    if graph.experiment.distributed.num_learners > 1 and launch_type.endswith("_mt"):
        raise UserError("--num_learners needs a process per learner: set --lp_launch_type=local_mp")
    modules = sorted(name for name in sys.modules if name.startswith("mukoe."))
    starter = ForkingStarter(modules, workdir / "logs" / "nodes" / "fork_server")
    with _socket_folder() as folder, contextlib.closing(starter):
        addresses = {
            title: f"ipc://{folder}/{title.replace('/', '_')}"
            for title in titles(graph)
            if serves(title)
        }
        program = make_program(graph, workdir, addresses, config, resume=resume)

        def start(line: ProgressLine) -> Run:
            if launch_type.endswith("_mt"):
                return ThreadRun(program)
            supervise = functools.partial(_supervise, program, folder, starter)
            return ProcessRun(workdir, line, supervise, graph.experiment.run.loggers)

        counter = program.connect_counter()
        with contextlib.closing(counter):
            return run_to_end(start, lambda: counter, graph.experiment, workdir)


@contextlib.contextmanager
def _socket_folder() -> Iterator[Path]:
    """Makes a folder for sockets, which only this user can enter."""
    parent = tempfile.gettempdir()
    folder = tempfile.mkdtemp(
        prefix="mukoe-", dir=parent if len(parent) <= _LONGEST_FOLDER else "/tmp"
    )
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _supervise(
    program: Program, folder: Path, starter: ForkingStarter, on_restart: Callable[[Restart], None]
) -> Supervisor:
    """Starts the processes of a program."""
    data_file = folder / "program.pkl"
    data_file.write_bytes(
        cloudpickle.dumps((program, functools.partial(os.kill, os.getpid(), signal.SIGTERM)))
    )
    config = program.experiment.distributed
    return Supervisor(
        program.workdir,
        _commands(program.experiment, program.titles, data_file),
        config.max_restarts,
        config.hang_seconds,
        on_restart,
        start_process=starter,
    )


def _commands(
    experiment: ExperimentConfig, node_titles: Sequence[str], data_file: Path
) -> list[NodeCommand]:
    commands = []
    for title in node_titles:
        group = title.partition("/")[0]
        commands.append(
            NodeCommand(
                title,
                [sys.executable, node_process.__file__, "--data_file", str(data_file), title],
                process_environment(
                    experiment.distributed.threads_of(group),
                    cpu_only=group not in ACCELERATED_GROUPS,
                ),
            )
        )
    return commands


class ThreadRun(Run):
    """A program in threads of this process, without restarts."""

    def __init__(self, program: Program):
        """Starts a thread per node.

        Args:
          program: program to run.
        """
        super().__init__(program.workdir)
        self._program = program
        self._runtimes = [ZeroMQRuntime(program.workdir, self.stop) for _ in program.titles]
        self._threads = [
            threading.Thread(target=self._run_node, args=node, name=node[0], daemon=True)
            for node in zip(program.titles, self._runtimes, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _run_node(self, title: str, runtime: ZeroMQRuntime) -> None:
        """Runs a node; if it fails, the others stop. Its report has the error."""
        try:
            self._program.run_node(title, runtime)
        except BaseException:
            self._has_failed |= not self.stopping
            self.stop()

    def _stop_nodes(self) -> None:
        for runtime in self._runtimes:
            runtime.stop_event.set()

    def _all_ended(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)
