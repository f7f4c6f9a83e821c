"""Server of the methods of one object."""

import collections
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import zmq

from mukoe.layouts.distributed.runtimes.zeromq import endpoints
from mukoe.layouts.distributed.runtimes.zeromq.codec import (
    Frame,
    MalformedMessageError,
    decode,
    encode,
)
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint
from mukoe.layouts.distributed.runtimes.zeromq.wake import Wake

_LOGGER = logging.getLogger(__name__)

OK, FAILED, REFUSED = b"+", b"-", b"!"
# Calls that wait at a time; further ones queue.
_THREADS = 64

Method = Callable[..., Any]


class Server:
    """Serves methods on an endpoint until it is closed.

    A method that returns a `Future` is answered when it is set, so that calls may wait without a
    thread each.
    """

    def __init__(
        self, endpoint: Endpoint, quick: Mapping[str, Method], waiting: Mapping[str, Method]
    ):
        """Binds the address and starts to serve.

        Args:
          endpoint: address of the server.
          quick: methods by name that return at once, or a `Future`; called in one thread.
          waiting: methods by name that may wait; called in threads of their own.
        """
        self._endpoint = endpoint
        self._quick = quick
        self._waiting = waiting
        self._context = zmq.Context()
        self._authenticator = None
        if endpoint.secret is not None:
            self._authenticator = endpoints.start_authenticator(self._context, endpoint.secret)
        self._socket = self._context.socket(zmq.ROUTER)
        endpoints.configure(self._socket, "server", endpoint.secret)
        self._socket.bind(endpoint.bound)
        self._threads = futures.ThreadPoolExecutor(_THREADS)
        self._replies: collections.deque[list[Frame]] = collections.deque()
        self._wake = Wake()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving; calls under way are not answered."""
        self._closed.set()
        self._wake.set()
        self._thread.join()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=0)

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake.fileno(), zmq.POLLIN)
        while not self._closed.is_set():
            poller.poll()
            self._wake.clear()
            while self._replies:
                self._socket.send_multipart(self._replies.popleft(), copy=False)
            for _ in range(_THREADS):  # Replies are not kept waiting for longer.
                try:
                    frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                self._receive([frame.buffer for frame in frames])

    def _receive(self, frames: list[memoryview]) -> None:
        if len(frames) < 4:
            return  # No client sends that.
        route = [bytes(frame) for frame in frames[:2]]
        reason = endpoints.refusal(bytes(frames[2]), self._endpoint.greeting)
        if reason is not None:
            _LOGGER.warning(f"refused a peer: {reason}")
            self._reply([*route, REFUSED, *encode(reason)])
        else:
            self._start(route, frames[3:])

    def _start(self, route: list[bytes], frames: list[memoryview]) -> None:
        """Calls a method, or has a thread call it."""
        try:
            name, arguments, options = decode(frames)
            quick, waiting = self._quick.get(name), self._waiting.get(name)
        except (MalformedMessageError, TypeError, ValueError) as error:
            return self._answer(route, error)
        if quick is not None:
            self._call(route, quick, arguments, options)
        elif waiting is not None:
            self._threads.submit(self._call, route, waiting, arguments, options)
        else:
            self._answer(route, AttributeError(f"there is no method {name!r}"))

    def _call(self, route: list[bytes], method: Method, arguments: list, options: dict) -> None:
        try:
            result = method(*arguments, **options)
        except Exception as error:  # raised to the caller
            return self._answer(route, error)
        if isinstance(result, futures.Future):
            result.add_done_callback(lambda future: self._answer_later(route, future))
        else:
            self._answer(route, None, result)

    def _answer_later(self, route: list[bytes], future: futures.Future) -> None:
        error = future.exception()
        self._answer(route, error, None if error else future.result())

    def _answer(self, route: list[bytes], error: BaseException | None, result: Any = None) -> None:
        if error is None:
            try:
                frames = [OK, *encode(result)]
            except TypeError as failure:
                error = failure
        if error is not None:
            kind = type(error)
            text = [f"{kind.__module__}.{kind.__qualname__}", str(error)]
            frames = [FAILED, *encode(text)]
        self._reply([*route, *frames])

    def _reply(self, frames: list[Frame]) -> None:
        self._replies.append(frames)
        self._wake.set()
