"""dm_env_rpc server of any environment."""

import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
from dm_env_rpc.v1 import dm_env_rpc_pb2, dm_env_rpc_pb2_grpc

from mukoe.environments.dm_env_rpc.encoder import Encoder
from mukoe.environments.dm_env_rpc.session import Session
from mukoe.environments.dm_env_rpc.single import MakeEnvironment
from mukoe.errors import UserError

_SERVER_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Two servers must not share a port.
    ("grpc.so_reuseport", 0),
    # Detects clients on machines that have disappeared.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
_GRACE_TIMEOUT = 1.0
_STOP_TIMEOUT = 3.0


class Server:
    """Server of environments, one per client.

    port: port of the server.
    """

    def __init__(
        self, make_environment: MakeEnvironment, host: str, port: int, max_clients: int, name: str
    ):
        """Starts the server.

        Args:
          make_environment: constructor of environments; one is built immediately for its specs.
          host: interface of the server, such as 127.0.0.1.
          port: port of the server; 0 for a free one.
          max_clients: maximum number of concurrent connections.
          name: environment name for error messages.

        Raises:
          UserError: the port is not available, or dm_env_rpc does not support the specs.
        """
        first = make_environment(0, False)
        encoder = Encoder(first, name)
        first.close()
        self._servicer = _Servicer(make_environment, encoder)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_clients, thread_name_prefix="client"),
            options=_SERVER_OPTIONS,
            maximum_concurrent_rpcs=max_clients,
        )
        dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(self._servicer, self._server)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise UserError(
                f"cannot listen at {address}: it is in use or not of this machine; give another "
                "--port or --host"
            ) from error
        self._server.start()

    @property
    def clients(self) -> int:
        """Number of current connections."""
        return self._servicer.clients

    def stop(self) -> bool:
        """Closes all connections; returns False if an environment did not close in time."""
        self._server.stop(_GRACE_TIMEOUT).wait(_GRACE_TIMEOUT + _STOP_TIMEOUT)
        return self._servicer.wait_until_idle(_STOP_TIMEOUT)


class _Servicer(dm_env_rpc_pb2_grpc.EnvironmentServicer):
    """gRPC service with one thread and one session per connection."""

    def __init__(self, make_environment: MakeEnvironment, encoder: Encoder):
        self._make_environment = make_environment
        self._encoder = encoder
        self._changed = threading.Condition()
        self.clients = 0

    def Process(  # noqa: N802
        self, requests: Iterator[dm_env_rpc_pb2.EnvironmentRequest], context: grpc.ServicerContext
    ) -> Iterator[dm_env_rpc_pb2.EnvironmentResponse]:
        """Responds to the requests of a client; closes its environment at the end."""
        del context
        self._count(1)
        session = Session(self._make_environment, self._encoder)
        try:
            for request in requests:
                yield session.respond(request)
        finally:
            session.leave()
            self._count(-1)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Waits until no client is connected; returns False after a timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self.clients == 0, timeout_s)

    def _count(self, change: int) -> None:
        with self._changed:
            self.clients += change
            self._changed.notify_all()
