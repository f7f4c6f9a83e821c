"""What a real program leaves on the machine: its processes and its logs."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


def start_program(program, workdir, *flags):
    """Starts a program in a session of its own; its output and errors are one pipe."""
    return subprocess.Popen(
        [sys.executable, f"programs/{program}", f"--workdir={workdir}", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_of(workdir):
    """Processes that have a file of the workdir open, the nodes of its program."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(workdir) in file.path for file in process.open_files()):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return [process for process in found if process.pid != os.getpid()]


def rows(workdir, label):
    with open(workdir / "logs" / f"{label}.csv") as file:
        return list(csv.DictReader(file))


def wait_for(condition, seconds, pause_seconds=0.2):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(pause_seconds)
