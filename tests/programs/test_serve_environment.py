"""programs/serve_environment.py from the command line."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dm_env_rpc")

from mukoe.environments.gymnasium.config import GymnasiumConfig  # noqa: E402
from tests.environments.remote import remote, serving  # noqa: E402
from tests.programs.forked import run_program  # noqa: E402

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def served(*flags):
    """The program as a process; gives it and its port."""
    command = [sys.executable, "programs/serve_environment.py", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield process, int(re.fullmatch(r"serving .* at \S+:(\d+)\n", line).group(1))
        finally:
            process.kill()


def test_a_client_outlives_a_killed_server_and_a_server_ends_within_seconds():
    action = np.zeros(2, np.int32)
    with served("--env=CartPole-v1") as (process, port):
        wire = remote(port, reconnect_seconds=60.0).make_factory()(0, 2, False)
        direct = GymnasiumConfig("CartPole-v1").make_factory()(0, 2, False)
        np.testing.assert_array_equal(wire.reset().observation, direct.reset().observation)
        wire.step(action)
        process.kill()
    with served("--env=CartPole-v1", f"--port={port}") as (process, _):
        assert wire.step(action).first().all()
        assert wire.step(action).mid().all()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "give --env"),
        (["--env=CartPole-v11"], "did you mean CartPole"),
        (["--env=CartPole-v1", "--config.environment.size=3"], "'environment.size'"),
        (["--env=CartPole-v1", "--port=PORT"], "cannot listen at 127.0.0.1:"),
    ],
)
def test_bad_input_gets_one_line(flags, line):
    with serving(GymnasiumConfig("CartPole-v1").make_factory()) as port:
        flags = [flag.replace("PORT", str(port)) for flag in flags]
        result = run_program("serve_environment.py", *flags)
    assert result.returncode == 2, result.stderr
    lines = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert len(lines) == 1 and line in lines[0], result.stderr
