"""Checks the machine: packages, devices, memory, files; names the command that closes each gap.

mukoe doctor

Each package is tried in a process of its own, which ends after at most three minutes. The exit
status is 0 if `make train` runs: the core, ALE, and Launchpad with Reverb or ZeroMQ.
"""

import shutil
from typing import NoReturn

from mukoe.configuration import run_main
from mukoe.diagnosis.machine import check_machine, to_text
from mukoe.diagnosis.probes import PROBES
from mukoe.terminal.counted_progress import CountedProgress
from mukoe.terminal.progress_line import process_line


def main() -> int:
    """Prints the table and returns the exit status."""
    with process_line(), CountedProgress("trying packages", len(PROBES)) as progress:
        report = check_machine(progress.add)
    print(to_text(report, shutil.get_terminal_size().columns))
    return 0 if report.trains else 1


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
