"""Runs a command that Linux kills when its parent dies; a script of the standard library.

python -I -S parent_death_signal.py PARENT_PID COMMAND ARGUMENT...
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie_to(parent: int) -> bool:
    """Has Linux kill this process when its parent dies; returns whether the parent is alive."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def main(parent: str, *command: str) -> None:
    """Replaces this process by the command."""
    if tie_to(int(parent)):
        os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
