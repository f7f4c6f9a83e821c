import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.acting.inference import InferenceConfig, InferenceServer, RemoteRunner, bucket_sizes
from mukoe.acting.variables import VariableClient
from mukoe.errors import UserError
from mukoe.types import Policy, PolicyParams

SPEC = specs.Array((2,), np.float32)


class Source:
    def get_variables(self, names):
        return [PolicyParams({"w": np.float32(2.0)}, np.int32(7))]


def make_policy(batches=None):
    """Its memory sums up the episode's observations; the value is twice that."""

    def apply(params, key, observation, state):
        del key
        if batches is not None:
            jax.debug.callback(lambda x: batches.append(np.array(x)), observation)
        state = state + observation
        value = params.network["w"] * state.sum(-1)
        action = value.astype(jnp.int32) % 5
        return action, {"value": value}, state

    return Policy(
        apply=apply,
        initial_state=lambda batch_size: jnp.zeros((batch_size, 2)),
        extras_spec={"value": specs.Array((), np.float32)},
    )


def make_server(max_environments=8, batches=None, **config):
    options = {"max_batch_size": 4, "deadline_ms": 2.0, "timeout_seconds": 20.0} | config
    return InferenceServer(
        make_policy(batches),
        SPEC,
        VariableClient(Source()),
        jax.random.PRNGKey(0),
        InferenceConfig(**options),
        max_environments,
    )


@contextmanager
def running(server):
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop.is_set,))
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def observations(seed, steps, num_envs):
    return np.random.default_rng(seed).normal(size=(steps, num_envs, 2)).astype(np.float32)


def direct(frames, is_first):
    """Values of one session, the policy called step by step with the session's own state."""
    policy, params = make_policy(), Source().get_variables(["policy"])[0]
    state = np.zeros(frames.shape[1:], np.float32)
    values, actions = [], []
    for frame, first in zip(frames, is_first, strict=True):
        state = np.where(first[:, None], 0, state)
        action, extras, state = policy.apply(params, None, jnp.asarray(frame), state)
        actions.append(np.asarray(action))
        values.append(np.asarray(extras["value"]))
    return np.stack(actions), np.stack(values)


def test_buckets():
    assert bucket_sizes(1) == [1]
    assert bucket_sizes(4) == [1, 2, 4]
    assert bucket_sizes(6) == [1, 2, 4, 6]


def test_many_threads_get_what_the_policy_says_with_their_own_memory():
    sizes, steps = [1, 2, 3, 1], 25
    frames = [observations(i, steps, size) for i, size in enumerate(sizes)]
    firsts = [np.random.default_rng(9 + i).random((steps, n)) < 0.2 for i, n in enumerate(sizes)]
    for first in firsts:
        first[0] = True

    def play(i):
        runner = RemoteRunner(server, f"actor {i}", sizes[i])
        runner.open()
        answers = [runner.act(f, first) for f, first in zip(frames[i], firsts[i], strict=True)]
        assert runner.learner_steps == 7
        return (np.stack([a for a, _ in answers]), np.stack([e["value"] for _, e in answers]))

    with running(make_server()) as server, ThreadPoolExecutor(4) as pool:
        results = list(pool.map(play, range(4)))
        metrics = server.metrics()
    for i, (actions, values) in enumerate(results):
        expected_actions, expected_values = direct(frames[i], firsts[i])
        np.testing.assert_allclose(values, expected_values, rtol=1e-4, atol=1e-4)
        # Truncation to an integer may differ where the value is almost one.
        clear = np.abs(expected_values - np.round(expected_values)) > 1e-3
        np.testing.assert_array_equal(actions[clear], expected_actions[clear])
    assert metrics["requests_per_second"] > 0
    assert metrics["latency_ms_p99"] >= metrics["latency_ms_p50"] > 0


def test_padding_changes_nothing_and_touches_no_memory():
    batches = []
    server = make_server(batches=batches)
    server.open_session("other", 1)
    server.open_session("three", 3)
    frames, first = observations(0, 2, 3), np.array([[True] * 3, [False] * 3])
    with running(server):
        one = np.ones((1, 2), np.float32)
        server.act("other", [one], np.array([True]))
        answers = [server.act("three", [f], b) for f, b in zip(frames, first, strict=True)]
        again = server.act("other", [one], np.array([False]))
    assert batches[-2].shape == (4, 2)  # Three and one of padding.
    for answer, expected in zip(answers, direct(frames, first)[1], strict=True):
        assert answer.actions.shape == (3,)
        np.testing.assert_allclose(answer.extras["value"], expected, rtol=1e-5)
    assert again.extras["value"][0] == 8.0  # 2 * (1 + 1 + 1 + 1)


def timed_act(server, name):
    started = time.monotonic()
    server.act(name, [np.zeros((2, 2), np.float32)], np.ones(2, bool))
    return time.monotonic() - started


def test_full_batch_leaves_before_its_deadline():
    server = make_server(deadline_ms=10_000.0)
    server.open_session("a", 2)
    server.open_session("b", 2)
    with running(server), ThreadPoolExecutor(2) as pool:
        assert max(pool.map(lambda name: timed_act(server, name), "ab")) < 9


def test_batch_that_is_not_full_leaves_at_its_deadline():
    server = make_server(deadline_ms=700.0)
    server.open_session("a", 2)
    with running(server):
        timed_act(server, "a")  # Alone, it is everybody: nothing to wait for.
        assert timed_act(server, "a") < 0.6
        server.open_session("b", 2)
        assert 0.7 <= timed_act(server, "a") < 5


def test_malformed_observations_say_what_is_right():
    server = make_server()
    server.open_session("actor", 2)
    first = np.ones(2, bool)
    with running(server):
        for wrong in (np.zeros((2, 3), np.float32), np.zeros((2, 2), np.float64), np.zeros((1, 2))):
            with pytest.raises(UserError, match=r"actor .*expected \[\(\(2, 2\), dtype\('float32'"):
                server.act("actor", [wrong], first)
        with pytest.raises(UserError, match="is_first"):
            server.act("actor", [np.zeros((2, 2), np.float32)], np.ones(3, bool))
        timed_act(server, "actor")  # The others are served as before.


def test_sessions():
    server = make_server(max_environments=4)
    with pytest.raises(KeyError):
        server.act("nobody", [np.zeros((1, 2), np.float32)], np.ones(1, bool))
    server.open_session("a", 3)
    server.open_session("a", 3)  # An actor that was restarted.
    with pytest.raises(UserError, match="room for 4 environments: 3 are taken, and b asks for 2"):
        server.open_session("b", 2)
    with pytest.raises(UserError, match="max_batch_size 4"):
        server.open_session("c", 5)
    server.open_session("d", 1)


def test_request_that_is_pending_at_the_stop_fails_at_once():
    server = make_server()
    server.open_session("a", 2)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(timed_act, server, "a")
        while not server._pending:
            time.sleep(0.01)
        server.run(lambda: True)
        with pytest.raises(TimeoutError, match="stopped"):
            request.result(2)
    with pytest.raises(TimeoutError, match="stopping"):
        timed_act(server, "a")


def test_request_fails_at_once_where_the_server_breaks():
    server = make_server()
    server.open_session("a", 2)
    serve, broken = server._serve, threading.Event()

    def break_down(*arguments):
        if broken.is_set():
            raise RuntimeError("out of memory")
        return serve(*arguments)

    server._serve = break_down
    errors = []

    def run():
        try:
            server.run(lambda: False)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    timed_act(server, "a")
    broken.set()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="stopped"):
        timed_act(server, "a")
    assert time.monotonic() - started < 5
    thread.join(5)
    assert str(errors[0]) == "out of memory"
