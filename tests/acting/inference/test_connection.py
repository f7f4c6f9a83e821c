"""Failover of an actor from servers that die, hang, lose the session or refuse it."""

import threading
import time
from concurrent import futures

import numpy as np
import pytest

from mukoe.acting.inference import InferenceConfig, ServerConnection
from mukoe.acting.inference.connection import Inputs
from mukoe.errors import UserError
from tests.acting.inference.tiny_policy import make_runner, make_server, running

ONE, FIRST, NEXT = np.ones((1, 2), np.float32), np.array([True]), np.array([False])


def value(runner, is_first):
    return runner.submit(ONE, is_first)()[1]["value"][0]


class Hanging:
    """A server that takes everything and answers nothing, such as a stopped process."""

    def wait_until_ready(self):
        return True

    def open_session(self, name, num_envs):
        pass

    def submit(self, *inputs):
        return futures.Future()


class Compiling:
    """A server that says for a while that it has not compiled yet."""

    def __init__(self, server, seconds):
        self._server = server
        self._ready_at = time.monotonic() + seconds

    def __getattr__(self, method):
        return getattr(self._server, method)

    def wait_until_ready(self):
        return time.monotonic() > self._ready_at


class CourierLike:
    """A client as courier's: futures of every method, errors of the server as text alone."""

    def __init__(self, server):
        self._server = server
        self.dead = False
        self.futures = self

    def __getattr__(self, method):
        def call(*arguments):
            future = futures.Future()
            try:
                if self.dead:
                    raise ConnectionError("Socket closed")
                future.set_result(getattr(self._server, method)(*arguments))
            except Exception as error:
                name = f"{type(error).__module__}.{type(error).__name__}"
                text = f"Python exception was raised on the server:\n...\n{name}: {error}\n"
                future.set_exception(RuntimeError(text))
            return future

        return call


def test_moves_where_a_server_dies_and_its_memory_starts_blank_there():
    with running(make_server()) as second:
        with running(make_server()) as first:
            runner = make_runner(first, second)
            assert [value(runner, FIRST), value(runner, NEXT)] == [4.0, 8.0]
        started = time.monotonic()
        assert [value(runner, NEXT), value(runner, NEXT)] == [4.0, 8.0]
        assert time.monotonic() - started < 3
        assert runner._connection.moves == 1


def test_moves_between_courier_clients_in_the_middle_of_a_request():
    with running(make_server()) as server:
        clients = [CourierLike(server), CourierLike(server)]
        runner = make_runner(*clients)
        assert value(runner, FIRST) == 4.0
        clients[0].dead = True
        assert value(runner, NEXT) == 4.0 and runner._connection.moves == 1
        assert value(runner, NEXT) == 8.0
        clients[0].dead, clients[1].dead = False, True
        assert value(runner, NEXT) == 4.0 and runner._connection.moves == 2


def test_moves_where_a_server_hangs():
    with running(make_server()) as server:
        runner = make_runner(Hanging(), server, timeout_seconds=0.5)
        assert value(runner, FIRST) == 4.0


def test_starts_at_a_server_that_is_there():
    with running(make_server()) as server:
        dead = CourierLike(server)
        dead.dead = True
        assert value(make_runner(dead, server, timeout_seconds=0.5), FIRST) == 4.0


def test_a_server_that_has_lost_the_session_gives_a_new_one():
    with running(make_server(max_environments=1)) as server:
        runners = [make_runner(client) for client in (server, CourierLike(server))]
        for runner in runners:
            assert value(runner, FIRST) == 4.0
            server._sessions._close("actor")
            assert [value(runner, NEXT), value(runner, NEXT)] == [4.0, 8.0]


def test_an_exchange_that_breaks_off_is_made_anew():
    with running(make_server()) as server:
        connection = ServerConnection([server], "actor", 1, InferenceConfig())
        connection.open()
        broken = [LookupError("the parameters of update 3 are kept no longer")]

        def finish(server, answer):
            if broken:
                raise broken.pop()
            return answer.result[1]["value"][0]

        assert connection.request(Inputs([ONE], FIRST), finish)() == 4.0


@pytest.mark.parametrize("at_start", [True, False])
def test_a_server_that_compiles_is_waited_for_longer_than_one_that_is_silent(at_start):
    with running(make_server()) as server:
        client = CourierLike(server)
        config = {"give_up_seconds": 0.5, "timeout_seconds": 0.5}
        if at_start:
            client._server = Compiling(server, seconds=2.0)
        runner = make_runner(client, **config)
        if not at_start:
            assert value(runner, FIRST) == 4.0
            client.dead = True
            sent = runner.submit(ONE, NEXT)
            client._server, client.dead = Compiling(server, seconds=2.0), False
            assert sent()[1]["value"][0] == 4.0
        assert value(runner, FIRST) == 4.0


def test_gives_up_with_one_clear_line():
    server = make_server()
    with running(server):
        runner = make_runner(server, server, give_up_seconds=0.5, timeout_seconds=0.5)
    with pytest.raises(TimeoutError) as error:
        value(runner, FIRST)
    expected = "actor: none of 2 inference servers has answered for 0.5 s; the last error was: "
    assert str(error.value) == expected + "the inference server is stopping"


def test_a_malformed_request_is_the_callers_fault_and_moves_nobody():
    with running(make_server()) as server:
        for client in (server, CourierLike(server)):
            runner = make_runner(client, server)
            with pytest.raises(UserError, match=r"^actor sent is_first bool\[3\], expected"):
                runner.submit(ONE, np.ones(3, bool))()
            assert runner._connection.moves == 0


def test_waits_end_when_the_program_stops():
    stop = threading.Event()
    runner = make_runner(Hanging(), Hanging(), should_stop=stop.is_set, timeout_seconds=60.0)
    wait = runner.submit(ONE, FIRST)
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="the program stops"):
        wait()
    assert time.monotonic() - started < 3
