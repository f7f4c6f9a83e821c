"""Ctrl-C and SIGTERM end a program with one line, whatever its main thread does."""

import signal
import subprocess
import sys
import time

import pytest

START = """
import hashlib, os, signal, sys, time
from mukoe.terminal import interruption
interruption.exit_on_interrupt()
def compute():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # Minutes between two bytecodes.
def ready():
    print("ready", flush=True)
"""
WORK = {
    "waits": "ready(); time.sleep(60)",
    "computes in a library": "ready(); compute()",
    "turns interrupts into another error": """
ready()
try:
    time.sleep(60)
except BaseException:
    raise ImportError("a library cannot be imported")
""",
    "ignores errors": """
ready()
while True:
    try:
        time.sleep(0.1)
    except BaseException:
        pass
""",
    "runs before the interpreter ends": """
import atexit, threading
threading.Timer(60, print).start()
ready()
""",
}


# The thread that receives the signals is slower than the main thread.
SLOW = """
import os, time
read = os.read
def slow_read(*arguments):
    data = read(*arguments)
    time.sleep(0.3)
    return data
os.read = slow_read
"""


def start(source, before=""):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", before + START + source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def interrupted(process, number=signal.SIGINT, status=130):
    """Sends a signal and returns the output of the process, which ends within two seconds."""
    began = time.monotonic()
    process.send_signal(number)
    try:
        output, error = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == status, error
    assert time.monotonic() - began < 2.0
    return output, error


@pytest.mark.parametrize("work", WORK)
def test_ctrl_c_ends_a_program_that(work):
    assert interrupted(start(WORK[work])) == ("", "interrupted\n")


@pytest.mark.parametrize("work", ["computes in a library", "ignores errors"])
def test_sigterm_ends_a_program_that(work):
    assert interrupted(start(WORK[work]), signal.SIGTERM, 143) == ("", "terminated\n")


def test_collected_signals_are_announced_and_a_second_ctrl_c_ends_the_program():
    process = start("""
from mukoe.terminal.progress_line import ProgressLine
line = ProgressLine(phase="compiling")
with interruption.collected_signals() as numbers:
    ready()
    compute()
""")
    process.send_signal(signal.SIGTERM)
    announcement = process.stderr.readline()
    assert announcement.startswith("SIGTERM: ends after the current step (compiling)")
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    _, error = interrupted(process)
    assert error == "interrupted again: exits without a last checkpoint\n"


def test_collected_signals_do_not_end_the_program():
    process = start("""
with interruption.collected_signals() as numbers:
    ready()
    while not numbers:
        time.sleep(0.01)
    assert numbers == [signal.SIGINT]
ready()
time.sleep(60)
""")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ready\n"
    assert interrupted(process) == ("", "interrupted\n")


def test_a_signal_that_was_collected_does_not_end_the_program_later():
    process = start(
        """
with interruption.collected_signals() as numbers:
    ready()
    while not numbers:
        time.sleep(0.01)
time.sleep(1.5)
ready()
time.sleep(60)
""",
        SLOW,
    )
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ready\n"
    assert interrupted(process) == ("", "interrupted\n")


def test_an_interrupt_that_was_raised_does_not_end_the_program_later():
    process = start(
        """
try:
    with interruption.raised_interrupts():
        ready()
        time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1.5)
    ready()
time.sleep(60)
""",
        SLOW,
    )
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ready\n"
    assert interrupted(process) == ("", "interrupted\n")


@pytest.mark.parametrize("number, status", [("SIGINT", 7), ("SIGTERM", -signal.SIGTERM)])
def test_a_forked_process_does_not_interrupt_its_parent(number, status):
    process = start(
        f"""
child = os.fork()
if child == 0:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        os._exit(7)
time.sleep(0.2)
os.kill(child, signal.{number})
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == {status:d}
ready()
time.sleep(60)
""".replace("ready()", "ready()", 1).replace("child = ", "ready()\nchild = ")
    )
    assert process.stdout.readline() == "ready\n"
    assert interrupted(process) == ("", "interrupted\n")


@pytest.mark.parametrize(
    "thread, end, finalized, status, last",
    [
        ("compute", "return 5", False, 5, ""),
        ("compute", "raise KeyError('cause')", False, 1, "KeyError: 'cause'\n"),
        ("int", "return 5", True, 5, ""),
        ("int", "raise KeyError('cause')", True, 1, "KeyError: 'cause'\n"),
    ],
)
def test_the_interpreter_is_not_finalized_while_an_abandoned_thread_runs(
    thread, end, finalized, status, last
):
    process = start(f"""
import atexit, threading
from mukoe.configuration.cli import run_main
atexit.register(print, "finalized")
ready()
def main():
    thread = threading.Thread(target={thread}, daemon=True)
    thread.start()
    thread.join(0.3)
    interruption.abandon(thread)
    {end}
sys.argv = ["program"]
run_main(main)
""")
    output, error = process.communicate(timeout=30)
    assert (output, process.returncode) == ("finalized\n" * finalized, status)
    assert error.endswith(last) and bool(error) == bool(last)
    assert error.count("Traceback") == bool(last)
