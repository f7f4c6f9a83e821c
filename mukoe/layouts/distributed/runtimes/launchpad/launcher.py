"""Start of a Launchpad program on this machine.

Launchpad 0.5.0 alone ends a program with status 137, hides a crashed process, and kills its own
launcher. Here Launchpad makes the nodes and their addresses; a `Supervisor` runs processes, and
Launchpad runs threads.
"""

import contextlib
import functools
import sys
from pathlib import Path

import launchpad as lp
from absl import flags

from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.distributed.runtimes.launcher import run_to_end
from mukoe.layouts.distributed.runtimes.launchpad.local_processes import supervise_locally
from mukoe.layouts.distributed.runtimes.launchpad.thread_run import ThreadRun
from mukoe.layouts.distributed.runtimes.runs import ProcessRun, Run
from mukoe.layouts.distributed.supervision.forking import ForkingStarter
from mukoe.terminal.progress_line import ProgressLine

_CALL_TIMEOUT_SECONDS = 5.0


def launch(
    program: lp.Program,
    counter: lp.CourierHandle,
    experiment: ExperimentConfig,
    workdir: Path,
    launch_type: str,
) -> int:
    """Runs a program to its end and returns its exit status; see `run_to_end`.

    Args:
      program: program of `make_program`.
      counter: handle of its counter.
      experiment: agent, environment and settings.
      workdir: directory of the run.
      launch_type: type of Launchpad, 'local_mt', 'local_mp', 'test_mt' or 'test_mp'.
    """
    modules = sorted(name for name in sys.modules if name.startswith("mukoe."))
    starter = ForkingStarter(modules, workdir / "logs" / "nodes" / "fork_server")

    def start(line: ProgressLine) -> Run:
        if launch_type in ("local_mt", "test_mt"):
            return ThreadRun(lp.launch(program, launch_type="local_mt"), workdir)
        supervise = functools.partial(
            supervise_locally, program, experiment, workdir, starter, line
        )
        return ProcessRun(workdir, line, supervise, experiment.run.loggers)

    # Negative: Launchpad never kills nodes by itself.
    flags.FLAGS["lp_termination_notice_secs"].value = -1
    with contextlib.closing(starter):
        return run_to_end(start, functools.partial(connect, counter), experiment, workdir)


def connect(counter: lp.CourierHandle) -> lp.CourierClient:
    """Returns a client of a counter for the launcher."""
    counter.set_client_kwargs(call_timeout=_CALL_TIMEOUT_SECONDS)
    return counter.dereference()
