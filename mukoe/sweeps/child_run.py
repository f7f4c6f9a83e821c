"""A run of `mukoe train` as a child process, and its files in its workdir."""

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import mukoe
from mukoe.configuration.import_folders import prepend_import_folder
from mukoe.configuration.overrides import apply_overrides
from mukoe.configuration.workdir import CONFIG_FILE, load_config
from mukoe.errors import UserError
from mukoe.layouts.common.checkpointing import stored_counts
from mukoe.layouts.common.shutdown import step_limit_reached, target_return_reached
from mukoe.observability.loggers.csv_logger import read_rows
from mukoe.terminal.interruption import STATUS_TERMINATED

OUTPUT_FILE = "output.txt"
"""Output of the process, in its workdir."""

_NO_OVERRIDES: Mapping[str, str] = types.MappingProxyType({})
_START = "from mukoe.commands.main import main; main()"
# Linux kills the child if this process is killed.
_TIE = Path(__file__).parents[1] / "layouts/distributed/supervision/parent_death_signal.py"


class ChildRun:
    """Process that trains in a workdir of its own."""

    def __init__(self, name: str, workdir: Path):
        """Starts nothing.

        Args:
          name: name of the run for messages, such as `seed 3`.
          workdir: directory of the run.
        """
        self.name = name
        self.workdir = workdir
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._is_stopping = False

    @property
    def exists(self) -> bool:
        """True if the workdir holds a run, which may be resumed."""
        return (self.workdir / CONFIG_FILE).exists()

    def start(self, flags: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts the process.

        Args:
          flags: flags of `mukoe train`, without --workdir.
          environment: environment variables that the user has not set.

        Raises:
          UserError: the workdir cannot be written.
        """
        try:
            self.workdir.mkdir(parents=True, exist_ok=True)
            self._output = open(self.workdir / OUTPUT_FILE, "wb")
        except OSError as error:
            raise UserError(f"cannot write to {self.workdir}: {error.strerror}") from error
        command = [sys.executable, "-c", _START, "train", f"--workdir={self.workdir}", *flags]
        tied = [sys.executable, "-I", "-S", str(_TIE), str(os.getpid()), *command]
        path = prepend_import_folder(str(Path(mukoe.__file__).parents[1]))
        self._process = subprocess.Popen(
            tied if sys.platform == "linux" else command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**environment, **os.environ, "PYTHONPATH": path},
            # Ctrl-C in the terminal reaches this process only, which stops its children.
            start_new_session=True,
        )

    def poll(self) -> int | None:
        """Returns the exit status; None while the process runs."""
        assert self._process is not None, "the run has not been started"
        status = self._process.poll()
        if status is not None and self._output is not None:
            self._output.close()
        return status

    def stop(self) -> None:
        """Requests the end of the run after a last checkpoint, by SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._is_stopping = True
            self._process.send_signal(signal.SIGTERM)

    @property
    def was_terminated(self) -> bool:
        """True if `stop` ended the process at once, as it does before the training."""
        assert self._process is not None, "the run has not been started"
        return self._is_stopping and self._process.poll() in (-signal.SIGTERM, STATUS_TERMINATED)

    def kill(self) -> None:
        """Kills the process and the processes that it has started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def steps(self) -> int:
        """Returns the agent steps in the newest rows of the logs."""
        newest = [_newest_steps(path) for path in (self.workdir / "logs").glob("*.csv")]
        return max(newest, default=0)

    def evaluations(self) -> list[tuple[int, float]]:
        """Returns the agent steps and the mean return of each evaluation so far, in order."""
        rows, _, _ = read_rows(self.workdir / "logs" / "evaluator.csv")
        return [
            (int(float(row["actor_steps"])), float(row["episode_return"]))
            for row in rows
            if row.get("actor_steps") and row.get("episode_return")
        ]

    def has_finished(self, overrides: Mapping[str, str] = _NO_OVERRIDES) -> bool:
        """Returns whether the run has reached a step limit or its target return.

        Args:
          overrides: text by dotted field that the command gives, such as a later step limit.

        Raises:
          UserError: its configuration cannot be read, or an override is invalid.
        """
        if not self.exists:
            return False
        run = apply_overrides(load_config(self.workdir), overrides).run
        returns = self.evaluations()
        if returns and target_return_reached(run, returns[-1][1]):
            return True
        return step_limit_reached(run, stored_counts(self.workdir))

    def error_line(self) -> str:
        """Returns the line of the error that ended the process: the last error of its output."""
        try:
            text = (self.workdir / OUTPUT_FILE).read_text(errors="replace")
        except OSError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        failure = _failure(self.workdir)
        status = None if self._process is None else self._process.poll()
        line = failure or (errors or lines or [f"exit status {status}"])[-1]
        return line.removeprefix("error: ")


def _failure(workdir: Path) -> str | None:
    """Returns the error in failure.json in one line; None without one."""
    try:
        return " ".join(str(json.loads((workdir / "failure.json").read_text())["error"]).split())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _newest_steps(path: Path) -> int:
    rows, _, _ = read_rows(path)
    try:
        return int(float(rows[-1]["actor_steps"])) if rows else 0
    except (KeyError, ValueError):
        return 0
