"""Stream of dm_env_rpc requests with a timeout for every response."""

import contextlib
import queue
import threading

import grpc
from dm_env_rpc.v1 import dm_env_rpc_pb2_grpc, error, message_utils

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Otherwise all channels to a server share a connection and its back-off after a failure.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class ConnectionLostError(ConnectionError):
    """Error of a server that is unreachable, has closed the connection, or does not respond."""


class Connection:
    """Connection to a server: requests are sent asynchronously, responses arrive in order."""

    def __init__(self, address: str, connect_seconds: float):
        """Connects.

        Args:
          address: address `host:port` of the server.
          connect_seconds: timeout in seconds; attempts are repeated after 0.2 s to 5 s.

        Raises:
          ConnectionLostError: the connection timed out.
        """
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=connect_seconds)
        except grpc.FutureTimeoutError as timeout:
            self._channel.close()
            raise ConnectionLostError(f"no response within {connect_seconds:g} s") from timeout
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._responses: queue.SimpleQueue = queue.SimpleQueue()
        stub = dm_env_rpc_pb2_grpc.EnvironmentStub(self._channel)
        self._call = stub.Process(iter(self._requests.get, None))
        threading.Thread(target=self._read, name=f"dm_env_rpc {address}", daemon=True).start()

    def send(self, request: message_utils.DmEnvRpcRequest) -> None:
        """Sends a request."""
        self._requests.put(message_utils.pack_environment_request(request).environment_request)

    def receive(self, kind: str, timeout_s: float) -> message_utils.DmEnvRpcResponse:
        """Waits for the next response.

        Args:
          kind: field of the response in `EnvironmentResponse`, such as 'step'.
          timeout_s: timeout in seconds, after which the server is considered lost.

        Raises:
          ConnectionLostError: the connection was lost or the response timed out.
          DmEnvRpcError: the response is an error.
          ValueError: the response has another kind.
        """
        try:
            response = self._responses.get(timeout=timeout_s)
        except queue.Empty as empty:
            raise ConnectionLostError(f"no response within {timeout_s:g} s") from empty
        if isinstance(response, ConnectionLostError):
            self._responses.put(response)
            raise response
        return message_utils.unpack_environment_response(response, kind)

    def close(self) -> None:
        """Closes the stream; pending responses are lost."""
        self._requests.put(None)
        self._call.cancel()
        self._channel.close()

    def _read(self) -> None:
        reason = "the server closed the connection"
        try:
            for response in self._call:
                self._responses.put(response)
        except grpc.RpcError as lost:
            reason = f"{lost.code().name}: {lost.details()}"
        self._responses.put(ConnectionLostError(reason))


def describe(rejection: error.DmEnvRpcError) -> str:
    """Returns the error message of the server in one line."""
    return " ".join(rejection.message.split()) or f"error {rejection.code}"


@contextlib.contextmanager
def closing_after_failure(connection: Connection):
    """Closes the connection if the block raises an error."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
