"""A stream of dm_env_rpc requests, every answer to which has a time limit."""

import contextlib
import queue
import threading

import grpc
from dm_env_rpc.v1 import dm_env_rpc_pb2_grpc, error, message_utils

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Otherwise all channels to a server share a connection, and its pauses after a failure.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class ConnectionLostError(ConnectionError):
    """The server cannot be reached, went away, or does not answer."""


class Connection:
    """Requests are sent without waiting; their answers come in the same order."""

    def __init__(self, address: str, connect_seconds: float):
        """Connects.

        Args:
          address: `host:port`.
          connect_seconds: that it may take; meanwhile it is tried again after 0.2 s to 5 s.

        Raises:
          ConnectionLostError: it took longer.
        """
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=connect_seconds)
        except grpc.FutureTimeoutError as timeout:
            self._channel.close()
            raise ConnectionLostError(
                f"nobody answered there within {connect_seconds:g} s"
            ) from timeout
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        stub = dm_env_rpc_pb2_grpc.EnvironmentStub(self._channel)
        self._call = stub.Process(iter(self._requests.get, None))
        threading.Thread(target=self._read, name=f"dm_env_rpc {address}", daemon=True).start()

    def send(self, request: message_utils.DmEnvRpcRequest) -> None:
        """Sends a request."""
        self._requests.put(message_utils.pack_environment_request(request).environment_request)

    def receive(self, kind: str, timeout_s: float) -> message_utils.DmEnvRpcResponse:
        """Waits for the next answer.

        Args:
          kind: its field in an `EnvironmentResponse`, such as 'step'.
          timeout_s: seconds after which the server counts as lost.

        Raises:
          ConnectionLostError: no answer came.
          DmEnvRpcError: the answer is an error.
          ValueError: the answer is of another kind.
        """
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty as empty:
            raise ConnectionLostError(f"no answer within {timeout_s:g} s") from empty
        if isinstance(answer, ConnectionLostError):
            self._answers.put(answer)
            raise answer
        return message_utils.unpack_environment_response(answer, kind)

    def close(self) -> None:
        """Ends the stream; an answer that is awaited never comes."""
        self._requests.put(None)
        self._call.cancel()
        self._channel.close()

    def _read(self) -> None:
        reason = "the server ended the connection"
        try:
            for answer in self._call:
                self._answers.put(answer)
        except grpc.RpcError as lost:
            reason = f"{lost.code().name}: {lost.details()}"
        self._answers.put(ConnectionLostError(reason))


def describe(refusal: error.DmEnvRpcError) -> str:
    """What the server says, in one line."""
    return " ".join(refusal.message.split()) or f"error {refusal.code}"


@contextlib.contextmanager
def closing_after_failure(connection: Connection):
    """Closes the connection where the block raises."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
