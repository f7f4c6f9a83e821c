"""Restarts of processes, their limits, and the shutdown."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mukoe.layouts.distributed.supervision import parent_death_signal, supervised, supervisor
from mukoe.layouts.distributed.supervision.supervisor import Supervisor
from tests.layouts.distributed.supervision.commands import Command, start_locally

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BEATS = """
import os, threading, time
descriptor = int(os.environ["MUKOE_HEARTBEAT"])
def beat():
    while True:
        os.write(descriptor, b".")
        time.sleep(0.05)
threading.Thread(target=beat, daemon=True).start()
"""
# Runs until it receives the stop request.
NODE = BEATS + "time.sleep(1000)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + NODE


def command(title, script=NODE, **environment):
    return Command([sys.executable, "-S", "-c", script], environment, title)


@pytest.fixture
def supervise(tmp_path, monkeypatch):
    """Makes supervisors, and kills what is left of them."""
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 0.01)
    made = []

    def make(*commands, max_restarts=10, hang_seconds=30.0):
        restarts = []
        made.append(
            Supervisor(
                tmp_path, commands, max_restarts, hang_seconds, restarts.append, start_locally
            )
        )
        made[-1].reported = restarts
        return made[-1]

    yield make
    for one in made:
        one.close()


def poll_until(supervisor, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        supervisor.poll()
        time.sleep(0.02)


def process(supervisor, label):
    return next(n for n in supervisor._nodes if n.label == label)._process


def beats(supervisor, label):
    node = next(n for n in supervisor._nodes if n.label == label)
    return lambda: node.running and node.silent_seconds < 5 and node.has_beaten


def test_labels_are_those_of_the_nodes(supervise):
    titles = ("replay/0", "actor/0", "actor/1", "inference/0", "learner/0")
    made = supervise(*(command(title) for title in titles))
    assert made.labels == ["replay", "actor_0", "actor_1", "inference_0", "learner"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_killed_process_is_started_again_as_the_same_node(supervise, tmp_path, number):
    script = "import os\nprint(os.environ['MUKOE_RESTARTS'], os.environ['NAME'], flush=True)\n"
    made = supervise(command("actor/0", script + NODE, NAME="ann"), command("actor/1"))
    poll_until(made, beats(made, "actor_0"))
    first, other = process(made, "actor_0").pid, process(made, "actor_1").pid
    os.kill(first, number)
    poll_until(made, lambda: made.restarts["actor_0"] == 1)
    poll_until(made, beats(made, "actor_0"))
    assert process(made, "actor_0").pid != first
    assert process(made, "actor_1").pid == other
    (restart,) = made.reported
    assert (restart.label, restart.count) == ("actor_0", 1)
    assert restart.reason == f"was killed by {number.name}"
    # Both have written to the same log.
    assert (tmp_path / "logs" / "nodes" / "actor" / "0").read_text() == "0 ann\n1 ann\n"
    assert not made.stopping


def test_learners_are_restarted_together_and_only_the_first_death_counts(supervise):
    made = supervise(command("learner/0"), command("learner/1"), command("actor/0"))
    labels = ("learner", "learner_1", "actor_0")
    for label in labels:
        poll_until(made, beats(made, label))
    first = {label: process(made, label).pid for label in labels}
    os.kill(first["learner_1"], signal.SIGKILL)
    poll_until(made, lambda: made.restarts["learner"] == 1)
    for label in labels:
        poll_until(made, beats(made, label))
    changed = {label: process(made, label).pid != first[label] for label in labels}
    assert changed == {"learner": True, "learner_1": True, "actor_0": False}
    assert made.restarts == {"learner": 1, "learner_1": 1, "actor_0": 0}
    assert [restart.reason for restart in made.reported] == [
        "was killed by SIGKILL",
        "is restarted with learner_1",
    ]
    assert [len(node.deaths) for node in made._nodes] == [0, 1, 0]


def test_a_process_that_ends_by_itself_is_started_again(supervise):
    made = supervise(command("actor/0", "pass"))
    poll_until(made, lambda: made.restarts["actor_0"] == 2)
    assert made.reported[0].reason == "ended with status 0"


def test_a_stopped_process_is_killed_and_started_again(supervise):
    made = supervise(command("replay/0"), hang_seconds=1.0)
    poll_until(made, beats(made, "replay"))
    first = process(made, "replay")
    first.send_signal(signal.SIGSTOP)
    poll_until(made, lambda: made.restarts["replay"] == 1)
    assert made.reported[0].reason == "sent no heartbeat for 1 s"
    assert first.returncode == -signal.SIGKILL


def test_a_process_that_starts_slowly_has_time(supervise):
    made = supervise(command("actor/0", "import time; time.sleep(1000)"), hang_seconds=0.1)
    end = time.monotonic() + 1
    poll_until(made, lambda: time.monotonic() > end)
    assert made.restarts["actor_0"] == 0


def test_after_too_many_deaths_the_program_stops(supervise):
    made = supervise(
        command("actor/0", "import os; os.abort()"), command("actor/1"), max_restarts=3
    )
    poll_until(made, lambda: made.ended)
    assert made.restarts == {"actor_0": 3, "actor_1": 0}
    assert made.failure["node"] == "actor_0"
    assert made.failure["error"].startswith("it died 4 times in 300 s; ")
    assert made.failure["error"].endswith("it was killed by SIGABRT")
    assert process(made, "actor_1").returncode == -signal.SIGTERM


def test_pauses_grow_and_old_deaths_do_not_count(supervise, monkeypatch):
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 1.0)
    now = [0.0]
    made = supervise(command("actor/0", "pass"), max_restarts=6)
    made._clock = made._nodes[0]._clock = lambda: now[0]

    def die():
        process(made, "actor_0").wait(timeout=30)
        made.poll()
        pause = made.reported[-1].pause_seconds
        now[0] += pause
        made.poll()  # It is started.
        return pause

    assert [die() for _ in range(6)] == [1, 2, 4, 8, 16, 30]
    now[0] += supervisor.WINDOW_SECONDS
    assert die() == 1
    assert made.failure is None


def failing(tmp_path, label, is_user_error):
    failure = {
        "node": label,
        "error": "ValueError: no wheels",
        "is_user_error": is_user_error,
        "traceback": "Traceback",
    }
    path = tmp_path / supervised.FAILURES / f"{label}.json"
    return failure, f"open({str(path)!r}, 'w').write({json.dumps(json.dumps(failure))}); exit(1)"


def test_errors_of_its_own_count_more_than_kills(supervise, tmp_path):
    failure, script = failing(tmp_path, "actor_0", False)
    made = supervise(command("actor/0", script))
    poll_until(made, lambda: made.ended)
    assert made.failure == failure
    assert made.restarts["actor_0"] == 2
    assert made.reported[0].reason == "failed: ValueError: no wheels"


def test_a_mistake_of_the_person_ends_the_program_at_once(supervise, tmp_path):
    failure, script = failing(tmp_path, "learner", True)
    made = supervise(command("learner/0", script), command("actor/0"))
    poll_until(made, lambda: made.ended)
    assert made.failure == failure and made.restarts["learner"] == 0


def test_serving_nodes_are_told_to_stop_when_the_others_have_ended(supervise):
    script = "import signal, sys, time\n"
    script += "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit()))\n"
    made = supervise(command("replay/0"), command("counter/0"), command("learner/0", script + NODE))
    for label in made.labels:
        poll_until(made, beats(made, label))
    made.stop()
    poll_until(made, lambda: process(made, "learner").poll() is not None)
    made.poll()
    poll_until(made, lambda: made.ended, seconds=5)
    assert process(made, "learner").returncode == 0
    assert process(made, "replay").returncode == -signal.SIGTERM


def test_what_saves_nothing_is_killed_when_it_takes_long_to_end(supervise, monkeypatch):
    monkeypatch.setattr(supervisor, "_OTHERS_SECONDS", 0.5)
    titles = ("replay/0", "learner/0", "actor/0", "evaluator/0")
    made = supervise(*(command(title, STUBBORN) for title in titles))
    for label in made.labels:
        poll_until(made, beats(made, label))
    made.stop()
    poll_until(made, lambda: not beats(made, "actor_0")() and not beats(made, "evaluator")())
    poll_for = time.monotonic() + 0.5
    poll_until(made, lambda: time.monotonic() > poll_for)
    assert process(made, "actor_0").poll() == process(made, "evaluator").poll() == -signal.SIGKILL
    assert process(made, "learner").poll() is None
    assert process(made, "replay").poll() is None


def test_nothing_is_started_again_while_the_program_stops(supervise, monkeypatch):
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 1000.0)
    made = supervise(command("actor/0", "pass"), command("actor/1"))
    poll_until(made, lambda: made.restarts["actor_0"] == 1)  # It waits for its start.
    made.stop()
    poll_until(made, lambda: made.ended)
    assert made.restarts == {"actor_0": 1, "actor_1": 0}


@pytest.mark.parametrize("stopped", [False, True])
def test_close_kills_what_does_not_listen(supervise, stopped):
    made = supervise(command("actor/0", STUBBORN))
    poll_until(made, beats(made, "actor_0"))
    if stopped:
        process(made, "actor_0").send_signal(signal.SIGSTOP)
    made.stop()
    made.poll()
    assert not made.ended
    made.close()
    assert made.ended and process(made, "actor_0").returncode == -signal.SIGKILL


def test_close_removes_the_folder_of_the_pickled_nodes(supervise, tmp_path):
    folder = tmp_path / "pickles"
    folder.mkdir()
    script = Command(
        [sys.executable, "-c", NODE, "--data_file", str(folder / "job.pkl")], {}, "actor/0"
    )
    supervise(script).close()
    assert not folder.exists()


def test_descriptors_are_not_used_up(supervise):
    made = supervise(command("actor/0", "pass"), max_restarts=1000)
    poll_until(made, lambda: made.restarts["actor_0"] >= 1)
    before = psutil.Process().num_fds()
    made._nodes[0].deaths.clear()
    for _ in range(5):
        made._nodes[0].deaths.clear()
        restarts = made.restarts["actor_0"]
        poll_until(made, lambda restarts=restarts: made.restarts["actor_0"] > restarts)
    assert psutil.Process().num_fds() <= before + 1


TETHERING = """
import subprocess, sys, os, time
tether = [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid())]
child = subprocess.Popen([*tether, "/bin/sleep", "1000"])
print(child.pid, flush=True)
time.sleep(1000)
"""


def test_a_tethered_process_dies_with_its_parent():
    arguments = [sys.executable, "-c", TETHERING, parent_death_signal.__file__]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        end = time.monotonic() + 30
        while child.name() != "sleep":
            assert time.monotonic() < end
            time.sleep(0.02)
        parent.kill()
    assert psutil.wait_procs([child], timeout=10)[1] == []
