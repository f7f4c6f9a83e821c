"""Nodes that are forks of a server: as processes of their own, but sooner."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.forking import ForkingStarter
from tests.layouts.distributed.supervision.commands import Command
from tests.real_programs import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

SAYS_WHAT_IT_IS = """
import json, os, sys
import numpy as np
from mukoe.layouts.distributed.supervision import supervised
supervised.start_heartbeat()
supervised.show_label()
print(json.dumps({
    "arguments": sys.argv[1:], "variable": os.environ.get("VARIABLE"), "module": __name__,
    "restarts": supervised.restarts(), "pid": os.getpid(), "session": os.getsid(0),
    "server": os.getppid(), "random": int(np.random.randint(1 << 30)),
    "imported_with": imported.variable, "name": open("/proc/self/comm").read().strip(),
}))
"""
SLEEPS = "import time\nprint('sleeping', flush=True)\ntime.sleep(1000)"


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A folder with a module that remembers a variable of the time when it was imported."""
    (tmp_path / "imported.py").write_text(
        "import os, time\nvariable = os.environ.get('VARIABLE')\n"
        "time.sleep(float(os.environ.get('IMPORT_SECONDS', '0')))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def start(workdir):
    """Starts a script as a node; ends all of them."""
    starter = ForkingStarter(["imported", "numpy"], workdir / "logs" / "fork_server")
    count = 0

    def start_script(script, *arguments, restarts=0, **variables):
        nonlocal count
        count += 1
        path = workdir / f"script_{count}.py"
        path.write_text("import imported\n" + script)
        command = Command([sys.executable, str(path), *arguments], variables, "actor/0")
        environment = {
            supervised.NODE_VARIABLE: f"node_{count}",
            supervised.RESTARTS_VARIABLE: str(restarts),
        }
        process = starter(command, environment, workdir / "logs" / str(count))
        process.log = workdir / "logs" / str(count)
        return process

    yield start_script
    starter.close()


def ended(process):
    wait_for(lambda: process.poll() is not None, 30, 0.01)
    return process.poll()


def sleeping(process):
    def sleeps():
        process.poll()
        return process.log.exists() and "sleeping" in process.log.read_text()

    wait_for(sleeps, 30, 0.01)
    return process


def says(process):
    assert ended(process) == 0, process.log.read_text()
    return json.loads(process.log.read_text())


def test_a_fork_is_what_a_process_of_its_own_would_be(start):
    process = start(SAYS_WHAT_IT_IS, "--flag", "value", restarts=3, VARIABLE="set")
    assert process.waiting
    said = says(process)
    assert said["arguments"] == ["--flag", "value"]
    assert said["module"] == "__main__"
    assert said["name"] == "node_1"
    assert said["restarts"] == 3
    assert said["variable"] == "set"
    assert said["pid"] == said["session"] == process.pid
    assert not process.waiting
    assert process.read_messages() == supervised.BEAT


def test_processes_with_the_same_variables_have_one_server_with_these_variables(start):
    first, second = (says(start(SAYS_WHAT_IT_IS, VARIABLE="a")) for _ in range(2))
    other = says(start(SAYS_WHAT_IT_IS, VARIABLE="b"))
    assert first["server"] == second["server"] != other["server"]
    assert [one["imported_with"] for one in (first, second, other)] == ["a", "a", "b"]
    assert first["random"] != second["random"]


@pytest.mark.parametrize(
    ("script", "status", "fate"),
    [
        ("", 0, "ended with status 0"),
        ("import sys\nsys.exit(3)", 3, "ended with status 3"),
        ("raise ValueError('its own error')", 1, "ended with status 1"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", -11, "was killed by SIGSEGV"),
    ],
)
def test_how_it_ended(start, script, status, fate):
    process = start(script)
    assert ended(process) == status
    assert process.fate == fate
    assert ("its own error" in process.log.read_text()) == ("its own error" in script)


def test_what_has_succeeded_says_all_and_is_not_taken_apart(start):
    process = start(
        "import atexit\natexit.register(print, 'taken apart')\n"
        "print('the last word', end='')\nraise SystemExit(0)"
    )
    assert ended(process) == 0
    assert process.log.read_text() == "the last word"


def test_signals_reach_the_one_that_is_meant(start):
    first, second = sleeping(start(SLEEPS)), sleeping(start(SLEEPS))
    first.send_signal(signal.SIGTERM)
    assert ended(first) == -signal.SIGTERM
    assert second.poll() is None
    first.send_signal(signal.SIGKILL)
    second.close()
    assert ended(second) == -signal.SIGKILL


def test_one_that_is_stopped_before_it_begins_never_begins(start):
    process, other = (start(SLEEPS, IMPORT_SECONDS="1") for _ in range(2))
    process.send_signal(signal.SIGTERM)
    assert process.poll() == -signal.SIGTERM
    sleeping(other)
    assert process.pid is None
    assert not process.log.exists()


def test_a_dead_server_takes_its_forks_along_and_is_replaced(start):
    process = sleeping(start(SLEEPS))
    node = psutil.Process(process.pid)
    node.parent().kill()
    assert ended(process) == -signal.SIGKILL
    wait_for(lambda: not node.is_running(), 30, 0.01)
    said = says(start(SAYS_WHAT_IT_IS))
    assert said["server"] != process.pid


def test_each_server_has_its_own_log(start, workdir):
    for number in (1, 2):
        process = sleeping(start(SLEEPS))
        psutil.Process(process.pid).parent().kill()
        ended(process)
        logs = {path.name for path in (workdir / "logs" / "fork_server").iterdir()}
        assert logs == {str(index) for index in range(number)}


def test_a_server_that_cannot_import_says_why(start, workdir):
    (workdir / "imported.py").write_text("raise ImportError('no such thing')")
    process = start(SLEEPS)
    assert ended(process) == 1
    assert "no such thing" in (workdir / "logs" / "fork_server" / "0").read_text()


def test_a_server_that_hangs_is_given_up(start, monkeypatch):
    monkeypatch.setattr("mukoe.layouts.distributed.supervision.forking._ANSWER_SECONDS", 0.2)
    first = sleeping(start(SLEEPS))
    psutil.Process(first.pid).parent().suspend()
    assert ended(start(SLEEPS)) == -signal.SIGKILL
    assert ended(first) == -signal.SIGKILL


def test_nothing_outlives_a_launcher_that_is_killed(workdir):
    (workdir / "sleeps.py").write_text(SLEEPS)
    (workdir / "launcher.py").write_text(
        f"""
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from mukoe.layouts.distributed.supervision.forking import ForkingStarter
starter = ForkingStarter(["imported"], Path({str(workdir)!r}) / "server")
command = SimpleNamespace(command_as_list=[sys.executable, {str(workdir / "sleeps.py")!r}],
                          env_overrides={{}}, title="actor/0")
process = starter(command, {{"MUKOE_NODE": "actor_0"}}, Path({str(workdir / "log")!r}))
while process.pid is None:
    process.poll()
print(process.pid, flush=True)
time.sleep(1000)
"""
    )
    with subprocess.Popen(
        [sys.executable, workdir / "launcher.py"], stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        node = psutil.Process(int(launcher.stdout.readline()))
        server = node.parent()
        assert server.ppid() == launcher.pid
        os.kill(launcher.pid, signal.SIGKILL)
    wait_for(lambda: not node.is_running() and not server.is_running(), 30, 0.01)
