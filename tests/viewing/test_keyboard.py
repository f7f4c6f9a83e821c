"""Keyboard of a terminal."""

import os
import signal
import subprocess
import sys
import termios

import pytest

OPENED = """
import time
from mukoe.terminal import interruption
interruption.exit_on_interrupt()
from mukoe.viewing.keyboard import Keyboard
with Keyboard(["left", "right"]).opened():
    print("ready", flush=True)
    time.sleep(60)
"""


def echoes(terminal):
    """Returns whether a terminal echoes, and delivers whole lines."""
    local_modes = termios.tcgetattr(terminal)[3]
    return bool(local_modes & termios.ECHO), bool(local_modes & termios.ICANON)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_exit_restores_the_terminal(number):
    master, terminal = os.openpty()
    assert echoes(terminal) == (True, True)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OPENED],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        assert echoes(terminal) == (False, False)
        process.send_signal(number)
        process.wait(timeout=10)
        assert echoes(terminal) == (True, True)
    finally:
        process.kill()
        process.communicate()
        os.close(master)
        os.close(terminal)
