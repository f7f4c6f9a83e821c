"""A real program in processes of its own, and what can be done to it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from mukoe.layouts.distributed.supervision.node import label_of
from mukoe.learning.checkpoint import Checkpointer
from tests.real_programs import processes_of, rows

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).parent / "tiny_cartpole.py"
# Those of a program of CONFIG.
NODES = ("actor_0", "evaluator", "counter", "replay", "learner")
SECONDS_TO_END = 15
# On a machine that is shared, starting takes its time.
PATIENCE = float(os.environ.get("MUKOE_TEST_PATIENCE", "300"))


class Program:
    """A program under `programs/launch.py`, killed at the end of a `with` block."""

    def __init__(self, workdir, *flags, config=CONFIG):
        self.workdir = workdir.resolve()
        self.log = workdir.with_suffix(".txt")
        command = [sys.executable, "programs/launch.py", "--layout=distributed"]
        arguments = ["--lp_launch_type=local_mp", f"--workdir={workdir}", f"--config={config}"]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [*command, *arguments, *flags],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.launcher = psutil.Process(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait(timeout=30)

    @property
    def output(self):
        return self.log.read_text()

    @property
    def processes(self):
        """Processes by the label of their node, and `fork_server_0` and so on."""
        found = {}
        for process in self.launcher.children(recursive=True):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                output = os.readlink(f"/proc/{process.pid}/fd/1")
                if not output.startswith(f"{self.workdir}/logs"):
                    continue  # It begins or ends just now.
                group, index = output.rsplit("/", 2)[1:]
                is_server = group == "fork_server"
                label = f"{group}_{index}" if is_server else label_of(f"{group}/{index}")
                found[label] = process
        return found

    @property
    def nodes(self):
        """Processes by the label of their node."""
        return {k: v for k, v in self.processes.items() if not k.startswith("fork_server")}

    @property
    def ports(self):
        """Open ports of the nodes; none on the ZeroMQ runtime."""
        lines = re.findall(r"ports ([\d, ]+) are", self.output)
        return [int(port) for port in lines[-1].split(",")] if lines else []

    @property
    def is_on_reverb(self):
        return bool(self.ports)

    @property
    def replay_checkpoints(self):
        """Complete checkpoints of the replay, the newest last."""
        folder = self.workdir / "checkpoints"
        reverb = [path.parent for path in folder.glob("replay*/*/DONE")]
        # Reverb's checkpoint before the newest one has a second folder of links.
        found = {path.name: path for path in [*reverb, *folder.glob("replay/*.npz")]}
        return [found[name] for name in sorted(found)]

    def counts(self):
        """The newest counts that the counter has written down."""
        try:
            return json.loads((self.workdir / "counts.json").read_text())
        except (OSError, ValueError):
            return {}

    def checkpoint(self):
        """The learner step of the newest checkpoint; -1 without one."""
        step = Checkpointer(self.workdir / "checkpoints").latest_step()
        return -1 if step is None else step

    def restarts(self, label):
        """Returns the number of restarts on the terminal."""
        return len(re.findall(rf"node {label} .*: restart", self.output))

    def wait_for(self, condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the program has ended\n{self.output}"
            assert time.monotonic() < end, f"waited in vain\n{self.output}"
            time.sleep(0.2)

    def wait_until_learning(self, more=20):
        """Waits until both acting and learning have gone on, and a checkpoint was made."""
        counts, checkpoint = self.counts(), self.checkpoint()

        def has_gone_on():
            now = self.counts()
            return (
                now.get("actor_steps", 0) > counts.get("actor_steps", 0) + more
                and self.checkpoint() > checkpoint
            )

        self.wait_for(has_gone_on)

    def hurt(self, label, number):
        """Sends a signal to a node as soon as it runs."""
        self.wait_for(lambda: label in self.nodes)
        self.nodes[label].send_signal(number)

    def tear_checkpoint(self, label):
        """Kills the learner or replay in the middle of a checkpoint; returns the half of it."""
        folder = self.workdir / "checkpoints" / {"learner": "latest", "replay": "replay"}[label]

        def half_written():
            if label == "learner":
                return next(folder.glob("*orbax-checkpoint-tmp*"), None)
            if not self.is_on_reverb:
                return next(folder.glob(".*.tmp"), None)
            newest = max(folder.iterdir(), default=folder)
            return None if (newest / "DONE").exists() or newest == folder else newest

        process = self.nodes[label]
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if half_written():
                process.suspend()
                while process.status() != psutil.STATUS_STOPPED:
                    assert time.monotonic() < end
                if torn := half_written():
                    process.kill()
                    return torn
                process.resume()
        raise AssertionError(f"{label} never was in the middle of a checkpoint\n{self.output}")

    def stop(self, number=signal.SIGTERM):
        """Stops the program; returns its status, and checks that nothing is left."""
        ports = self.ports
        begun = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        assert time.monotonic() - begun < SECONDS_TO_END, self.output
        self.check_nothing_is_left(ports)
        return status

    def check_nothing_is_left(self, ports, seconds=10):
        end = time.monotonic() + seconds
        while left := [*processes_of(self.workdir), *listening(ports)]:
            assert time.monotonic() < end, f"left over: {left}"
            time.sleep(0.1)


def listening(ports):
    """Returns the ports with a listening process."""
    connections = psutil.net_connections("tcp")
    return set(ports) & {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}


def check_goes_on(program, label, fault):
    """Checks that a node restarts, counts stay above the checkpoint, and training continues."""
    restarts, counts, checkpoint = program.restarts(label), program.counts(), program.checkpoint()
    fault()
    program.wait_for(lambda: program.restarts(label) > restarts)
    program.wait_until_learning()
    now = program.counts()
    assert now["actor_steps"] >= counts["actor_steps"]
    assert now["learner_steps"] >= checkpoint
    assert rows(program.workdir, "supervisor")[-1][f"restarts_{label}"] == str(
        program.restarts(label)
    )
