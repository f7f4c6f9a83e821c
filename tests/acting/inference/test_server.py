"""The server as its clients see it: answers, memory, parameters, bad requests, the end."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.acting.inference.batching import StagingArea
from mukoe.errors import UserError
from mukoe.types import Policy, PolicyParams
from tests.acting.inference.tiny_policy import (
    Source,
    expected_values,
    make_policy,
    make_runner,
    make_server,
    observations,
    running,
)
from tests.real_programs import wait_for

ONES = np.ones((2, 2), np.float32)
FIRST = np.ones(2, bool)


def test_many_threads_get_what_the_policy_says_with_their_own_memory():
    sizes, steps = [1, 2, 3, 1], 25
    frames = [observations(i, steps, size) for i, size in enumerate(sizes)]
    firsts = [np.random.default_rng(9 + i).random((steps, n)) < 0.2 for i, n in enumerate(sizes)]
    for first in firsts:
        first[0] = True

    def play(i):
        runner = make_runner(server, name=f"actor {i}", num_envs=sizes[i])
        answers = [runner.submit(f, first)() for f, first in zip(frames[i], firsts[i], strict=True)]
        assert runner.learner_steps == 7
        return np.stack([a for a, _ in answers]), np.stack([e["value"] for _, e in answers])

    with running(make_server()) as server, ThreadPoolExecutor(4) as pool:
        results = list(pool.map(play, range(4)))
        metrics = server.metrics()
        # Never a compilation while serving: one for each of the sizes 1, 2 and 4.
        assert server._serve._cache_size() == 3
    for i, (actions, values) in enumerate(results):
        expected = expected_values(frames[i], firsts[i])
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
        # Truncation to an integer may differ where the value is almost one.
        clear = np.abs(expected - np.round(expected)) > 1e-3
        np.testing.assert_array_equal(actions[clear], (expected.astype(np.int32) % 5)[clear])
    assert metrics["requests_per_second"] > 0
    assert metrics["latency_ms_p99"] >= metrics["latency_ms_p50"] > 0
    assert metrics["sessions"] == 4


def test_padding_changes_nothing_and_touches_no_memory():
    batches = []
    server = make_server(policy=make_policy(batches))
    server.open_session("other", 1)
    server.open_session("three", 3)
    frames, first = observations(0, 2, 3), np.array([[True] * 3, [False] * 3])
    with running(server):
        one = np.ones((1, 2), np.float32)
        server.act("other", [one], np.array([True]))
        answers = [server.act("three", [f], b) for f, b in zip(frames, first, strict=True)]
        again = server.act("other", [one], np.array([False]))
    assert batches[-2].shape == (4, 2)  # Three and one of padding.
    for answer, expected in zip(answers, expected_values(frames, first), strict=True):
        actions, extras = answer.result
        assert actions.shape == (3,)
        np.testing.assert_allclose(extras["value"], expected, rtol=1e-5)
    assert again.result[1]["value"][0] == 8.0  # 2 * (1 + 1 + 1 + 1)


def test_memory_is_blank_in_a_new_session():
    server = make_server(max_environments=2)
    with running(server):
        for _ in range(2):
            server.open_session("actor", 2)
            for expected in (4.0, 8.0):
                # An actor that moves here in the middle of an episode says nothing of a start.
                answer = server.act("actor", [ONES], ~FIRST)
                np.testing.assert_array_equal(answer.result[1]["value"], [expected] * 2)


def test_answers_name_the_version_that_made_them_and_versions_change_while_serving():
    source = Source(7)
    with running(make_server(source=source)) as server:
        server.open_session("actor", 2)
        seen, steps = [], []
        end = time.monotonic() + 10
        while time.monotonic() < end and (not steps or steps[-1] < 12):
            source.steps = min(7 + len(seen) // 20, 12)
            actions, extras = (answer := server.act("actor", [ONES], FIRST)).result
            seen.append(extras["value"][0])
            steps.append(answer.learner_steps)
            time.sleep(0.002)
        metrics = server.metrics()
    assert steps == sorted(steps) and len(set(steps)) > 2
    np.testing.assert_array_equal(seen, 2.0 * (np.array(steps) - 5))
    assert metrics["learner_steps"] == 12 and metrics["parameter_age"] == 0
    assert 0 <= metrics["parameter_seconds"] < 5


class SlowPolicy:
    """Computes for about `seconds`, without holding up Python."""

    def __init__(self, seconds):
        matrix = np.random.default_rng(0).normal(0, 0.1, (128, 128)).astype(np.float32)

        def compute(loops, x):
            return jax.lax.fori_loop(0, loops, lambda _, y: jnp.tanh(y @ matrix), x)

        def apply(params, key, observation, state):
            x = jnp.resize(observation, (128, 128))
            action = jnp.zeros(len(observation), jnp.int32)
            return action + (compute(params.network, x).sum() > 1e9), {}, state

        self.policy = Policy(
            apply=apply, initial_state=lambda batch_size: jnp.zeros(batch_size), extras_spec={}
        )
        timed = jax.jit(compute)
        timed(1, matrix).block_until_ready()
        started = time.monotonic()
        timed(1000, matrix).block_until_ready()
        self._loops = int(1000 * seconds / (time.monotonic() - started))

    def get_variables(self, names):
        return [PolicyParams(np.int32(self._loops), np.int32(1))]


def test_the_host_prepares_a_batch_while_the_device_computes_the_one_before(monkeypatch):
    filled, answered, fill = [], [], StagingArea.fill

    def logged_fill(area, batch):
        filled.append((time.monotonic(), len(batch)))
        return fill(area, batch)

    monkeypatch.setattr(StagingArea, "fill", logged_fill)
    slow = SlowPolicy(seconds=0.3)
    server = make_server(
        policy=slow.policy, source=slow, max_batch_size=2, deadline_ms=1.0, max_environments=16
    )
    for name in "abcdefg":
        server.open_session(name, 1)
    one, first = np.zeros((1, 2), np.float32), np.ones(1, bool)
    with running(server):
        on_batch = server._workers[0]._on_batch
        server._workers[0]._on_batch = lambda record: (
            answered.append(time.monotonic()),
            on_batch(record),
        )
        requests = [server.submit("a", [one], first)]
        # Alone at its deadline; the others fill batches meanwhile.
        wait_for(lambda: filled, 5, 0.005)
        requests += [server.submit(name, [one], first) for name in "bcdefg"]
        for request in requests:
            request.result(10)
        wait_until = time.monotonic() + 5
        while len(answered) < 4 and time.monotonic() < wait_until:
            time.sleep(0.01)
    assert [size for _, size in filled] == [1, 2, 2, 2]
    # The computation's time depends on the load of the machine.
    margin = np.median(np.diff(answered)) / 4
    ahead = [end - start for end, (start, _) in zip(answered, filled[1:], strict=False)]
    assert min(ahead) > margin, (ahead, margin)
    # At most two are under way: the third is prepared when the first has been answered.
    assert all(start > end - margin for end, (start, _) in zip(answered, filled[2:], strict=False))


def test_malformed_requests_say_what_is_right_and_harm_nobody():
    server = make_server()
    server.open_session("actor", 2)
    wrong = [
        ([ONES[:, :1]], FIRST, None, r"observation of \['float32\[2,1\]'\], expected \['float32\["),
        ([ONES.astype(np.float64)], FIRST, None, r"'float64\[2,2\]'\], expected \['float32\[2,2\]"),
        ([ONES[:1]], FIRST, None, r"expected \['float32\[2,2\]'\]"),
        ([ONES, ONES], FIRST, None, r"expected \['float32\[2,2\]'\]"),
        ([[[1.0], [2.0, 3.0]]], FIRST, None, r"\['list'\], expected"),
        ([ONES], np.ones(3, bool), None, r"is_first bool\[3\], expected bool\[2\]"),
        ([ONES], np.ones(2), None, r"is_first float64\[2\], expected bool\[2\]"),
        ([ONES], FIRST, np.zeros(2, np.int32), r"previous_action int32\[2\], expected None"),
        (None, FIRST, None, r"an observation of NoneType, expected a list"),
    ]
    with running(server):
        for leaves, is_first, previous_action, message in wrong:
            with pytest.raises(UserError, match=message):
                server.act("actor", leaves, is_first, previous_action)
        with pytest.raises(UserError, match="other has no session on this server, open_session"):
            server.act("other", [ONES], FIRST)
        server.act("actor", [ONES], FIRST)


def test_an_actor_that_asks_again_gets_its_newer_answer_and_holds_up_nobody():
    server = make_server(deadline_ms=200.0)
    server.open_session("a", 2)
    server.open_session("b", 2)
    with running(server):
        old = server.submit("a", [ONES], FIRST)
        new = server.submit("a", [2 * ONES], FIRST)
        assert not new.cancel()  # A client that gives up cannot break the server.
        other = server.submit("b", [ONES], FIRST)
        assert new.result(5).result[1]["value"][0] == 8.0
        assert other.result(5).result[1]["value"][0] == 4.0
        with pytest.raises(TimeoutError, match="sent a newer request"):
            old.result(0)


def test_session_too_large():
    with pytest.raises(UserError, match="max_batch_size 4"):
        make_server().open_session("c", 5)


def test_requests_fail_at_once_when_the_server_stops():
    server = make_server()
    server.open_session("a", 2)
    request = server.submit("a", [ONES], FIRST)
    server.run(lambda: True)
    with pytest.raises(TimeoutError, match="stopped"):
        request.result(0)
    with pytest.raises(TimeoutError, match="stopping"):
        server.act("a", [ONES], FIRST)


def test_requests_fail_at_once_where_the_policy_breaks():
    broken = threading.Event()

    def compute(observation):
        if broken.is_set():
            raise RuntimeError("out of memory")
        return np.zeros(len(observation), np.int32)

    def apply(params, key, observation, state):
        shape = jax.ShapeDtypeStruct(observation.shape[:1], jnp.int32)
        return jax.pure_callback(compute, shape, observation), {}, state

    policy = Policy(apply=apply, initial_state=lambda batch_size: (), extras_spec={})
    server = make_server(policy=policy)
    server.open_session("a", 2)
    errors = []

    def run():
        try:
            server.run(lambda: False)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    server.act("a", [ONES], FIRST)
    broken.set()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="stopped"):
        server.act("a", [ONES], FIRST)
    assert time.monotonic() - started < 5
    thread.join(10)
    assert not thread.is_alive() and "out of memory" in str(errors[0])


TWO_DEVICES = """
import numpy as np, jax
from tiny_policy import *
server = make_server(max_environments=6, max_batch_size=2)
for name in "abc":
    server.open_session(name, 2)
assert len({worker for worker in (server._sessions.get(n).worker for n in "abc")}) == 2
frames, first = observations(0, 5, 2), np.zeros((5, 2), bool)
first[0] = True
with running(server):
    for name in "abc":
        values = [server.act(name, [f], b).result[1]["value"] for f, b in zip(frames, first)]
        np.testing.assert_allclose(values, expected_values(frames, first), rtol=1e-5)
    assert server._serve._cache_size() == 2 * 2
    devices = {worker._memory.devices().pop() for worker in server._workers}
assert devices == set(jax.local_devices()) and len(devices) == 2
print("served on two devices")
"""


def test_every_device_serves_its_own_sessions(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    command = [sys.executable, "-c", TWO_DEVICES]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "served on two devices" in result.stdout, result.stderr
