"""What a real program leaves on the machine: its processes and its logs."""

import csv
import os
import time

import psutil


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
