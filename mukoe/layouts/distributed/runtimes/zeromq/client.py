"""Client of a server, which reconnects by itself."""

import collections
import functools
import itertools
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from mukoe.errors import UserError
from mukoe.layouts.distributed.runtimes.zeromq import endpoints
from mukoe.layouts.distributed.runtimes.zeromq.codec import Frame, decode, encode
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint
from mukoe.layouts.distributed.runtimes.zeromq.server import FAILED, OK, REFUSED
from mukoe.layouts.distributed.runtimes.zeromq.wake import Wake

_RECONNECT_MS = 100
_POLL_MS = 200
_WRONG_SECRET = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
# The connection closed during the handshake: by a server with another secret, or by one that died.
_CLOSED_EARLY = zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
# Handshakes in a row after which it was the secret.
_MOST_CLOSED_EARLY = 3
_EVENTS = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.DISCONNECTED
    | zmq.Event.CONNECT_RETRIED
    | _WRONG_SECRET
    | _CLOSED_EARLY
)


class PeerUnavailableError(ConnectionError):
    """A server that is not there, or has ended during a call."""


class RemoteError(RuntimeError):
    """Error of a method of the server."""


class Client:
    """Client whose attributes are the methods of a server.

    `client.method(...)` waits for the result, `client.futures.method(...)` returns its future. A
    call fails with a `PeerUnavailableError` if the connection breaks. It is executed at most once.
    """

    def __init__(self, endpoint: Endpoint, timeout_seconds: float, waits_for_server: bool = True):
        """Connects in the background.

        Args:
          endpoint: address of the server.
          timeout_seconds: longest wait for a result, after which a call raises a TimeoutError.
          waits_for_server: True to keep calls to a server that is not there until the timeout;
            False to fail them at once.
        """
        self.futures = _Futures(self.start)
        self._channel = _Channel(endpoint, timeout_seconds, waits_for_server)
        self._timeout_seconds = timeout_seconds

    def start(self, method: str, *arguments: Any, **options: Any) -> "futures.Future[Any]":
        """Starts a call and returns its future."""
        return self._channel.send(encode([method, list(arguments), options]))

    def close(self) -> None:
        """Disconnects; calls under way fail."""
        self._channel.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: Any, **options: Any) -> Any:
            # The channel ends every call in time.
            return self.start(name, *arguments, **options).result()

        return call


class _Futures:
    """The methods of a server, which return futures."""

    def __init__(self, start: Callable[..., "futures.Future[Any]"]):
        self._start = start

    def __getattr__(self, name: str) -> Callable[..., "futures.Future[Any]"]:
        return functools.partial(self._start, name)


class _Call:
    """Call without a result so far."""

    def __init__(self, frames: list[Frame], ends: float):
        self.frames = frames
        self.ends = ends
        self.future: futures.Future[Any] = futures.Future()

    def fail(self, error: Exception) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class _Channel:
    """Connection to a server, whose socket belongs to a thread of its own."""

    def __init__(self, endpoint: Endpoint, timeout_seconds: float, waits_for_server: bool):
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._waits_for_server = waits_for_server
        self._numbers = itertools.count()
        self._queued: collections.deque[_Call] = collections.deque()
        self._sent: dict[bytes, _Call] = {}
        self._connected = False
        self._refused: str | None = None
        self._closed_early = 0
        self._closed = threading.Event()
        self._wake = Wake()
        self._thread = threading.Thread(target=self._run, name="client", daemon=True)
        self._thread.start()

    def send(self, frames: list[Frame]) -> "futures.Future[Any]":
        call = _Call(frames, time.monotonic() + self._timeout_seconds)
        self._queued.append(call)
        self._wake.set()
        if self._closed.is_set():
            self._fail_all(PeerUnavailableError("the connection is closed"))
        return call.future

    def close(self) -> None:
        self._closed.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        # The clients of a process share a context, and so one thread of ZeroMQ.
        socket: zmq.Socket = zmq.Context.instance().socket(zmq.DEALER)
        endpoints.configure(socket, "client", self._endpoint.secret)
        socket.immediate = True
        socket.reconnect_ivl = _RECONNECT_MS
        monitor = socket.get_monitor_socket(_EVENTS)
        socket.connect(self._endpoint.address)
        poller = zmq.Poller()
        for source in (socket, monitor, self._wake.fileno()):
            poller.register(source, zmq.POLLIN)
        while not self._closed.is_set():
            ready = dict(poller.poll(_POLL_MS))
            self._wake.clear()
            if socket in ready:
                self._receive(socket)
            if monitor in ready:
                self._watch(monitor)
            self._send_queued(socket)
            self._expire()
        socket.disable_monitor()
        monitor.close(linger=0)
        socket.close(linger=0)
        self._fail_all(PeerUnavailableError("the connection is closed"))

    def _send_queued(self, socket: zmq.Socket) -> None:
        while self._queued:
            if self._refused is not None:
                self._queued.popleft().fail(UserError(self._refused))
                continue
            if not self._connected:
                break
            call = self._queued[0]
            number = next(self._numbers).to_bytes(8, "little")
            try:
                frames = [number, self._endpoint.greeting, *call.frames]
                socket.send_multipart(frames, zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._sent[number] = self._queued.popleft()

    def _receive(self, socket: zmq.Socket) -> None:
        while True:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            number, status, *value = (frame.buffer for frame in frames)
            call = self._sent.pop(bytes(number), None)
            if call is None or not call.future.set_running_or_notify_cancel():
                continue
            try:
                result = decode(value)
                if bytes(status) == OK:
                    call.future.set_result(result)
                elif bytes(status) == REFUSED:
                    call.future.set_exception(UserError(f"{self._endpoint.address}: {result}"))
                else:
                    assert bytes(status) == FAILED
                    call.future.set_exception(_remote_error(*result))
            except Exception as error:  # a malformed answer
                call.future.set_exception(RemoteError(str(error)))

    def _watch(self, monitor: zmq.Socket) -> None:
        while monitor.poll(0):
            message: Any = parse_monitor_message(monitor.recv_multipart())
            event = message["event"]
            self._connected = event == zmq.Event.HANDSHAKE_SUCCEEDED
            if self._connected:
                self._refused, self._closed_early = None, 0
            elif self._means_wrong_secret(event):
                self._refused = (
                    f"{self._endpoint.address} refused the secret: give the same --secret_file "
                    "to all nodes"
                )
            elif event == zmq.Event.DISCONNECTED:
                self._fail(self._sent, "the connection is broken")
            if not self._connected and not self._waits_for_server:
                self._fail_all(PeerUnavailableError(f"{self._endpoint.address} is not there"))

    def _means_wrong_secret(self, event: int) -> bool:
        if event & _CLOSED_EARLY:
            self._closed_early += 1
            # Without a secret of its own, a client learns of that of the server by its protocol.
            return self._endpoint.secret is not None and self._closed_early >= _MOST_CLOSED_EARLY
        return bool(event & _WRONG_SECRET)

    def _expire(self) -> None:
        now = time.monotonic()
        for number in [n for n, call in self._sent.items() if call.ends < now]:
            self._sent.pop(number).fail(self._timeout())
        while self._queued and self._queued[0].ends < now:
            self._queued.popleft().fail(self._timeout())

    def _timeout(self) -> Exception:
        return TimeoutError(
            f"{self._endpoint.address} has not answered for {self._timeout_seconds:g} s"
        )

    def _fail(self, calls: dict[bytes, _Call], reason: str) -> None:
        error = PeerUnavailableError(f"{self._endpoint.address}: {reason}")
        while calls:
            calls.popitem()[1].fail(error)

    def _fail_all(self, error: Exception) -> None:
        self._fail(self._sent, str(error))
        while self._queued:
            self._queued.popleft().fail(error)


def _remote_error(kind: str, text: str) -> Exception:
    """Returns the error of a server; only that of a bad request or a timeout keeps its type."""
    if kind == "mukoe.errors.UserError":
        return UserError(text)
    if kind in ("builtins.TimeoutError", "concurrent.futures._base.TimeoutError"):
        return TimeoutError(text)
    return RemoteError(f"{kind}: {text}")
