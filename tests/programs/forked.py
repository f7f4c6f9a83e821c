"""Runs programs as forks of a server process that has imported their modules.

A run behaves as one from the command line, without the time of the imports.
"""

import contextlib
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
import tempfile
from multiprocessing.context import ForkServerContext
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
COMMANDS = PROGRAMS.parent / "mukoe" / "commands"
# Modules that are not installed are skipped.
PRELOADED = ("mukoe.layouts.distributed", "mukoe.layouts.sebulba", "mukoe.evaluation.players")

_FORK = "fork"


def run_program(
    name: str, *arguments: object, text: str = "", timeout: float = 240.0, **environment: str
) -> subprocess.CompletedProcess:
    """Runs `programs/NAME` in the repository, with `text` as its standard input."""
    context = multiprocessing.get_context("forkserver")
    assert isinstance(context, ForkServerContext)
    context.set_forkserver_preload(list(PRELOADED))
    argv = [str(PROGRAMS / name), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / stream for stream in ("stdin", "stdout", "stderr")]
        files[0].write_text(text)
        # By path: in a new process pgx's package `tests` comes first on the import path.
        process = context.Process(
            target=runpy.run_path, args=(__file__, {"ARGUMENTS": (argv, files, environment)}, _FORK)
        )
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"{argv} has not ended after {timeout:g} s")
        outputs = [file.read_text() for file in files[1:]]
    return subprocess.CompletedProcess(argv, process.exitcode, *outputs)


def command_of(program: str) -> str:
    """Returns the name of the module in `mukoe.commands` that a program runs."""
    (name,) = re.findall(r"run_command\(\"(\w+)\"\)", (PROGRAMS / program).read_text())
    return name


def _main(argv: list[str], files: list[Path], environment: dict[str, str]) -> None:
    for descriptor, path in enumerate(files):
        with open(path, "wb" if descriptor else "rb") as file:
            os.dup2(file.fileno(), descriptor)
    sys.stdin = open(0)  # noqa: SIM115  multiprocessing has closed it
    os.environ.update(environment)
    os.chdir(PROGRAMS.parent)
    sys.path.insert(0, str(PROGRAMS))
    sys.argv = argv
    with contextlib.ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            stack.callback(stream.flush)
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == _FORK:
    _main(*globals()["ARGUMENTS"])
