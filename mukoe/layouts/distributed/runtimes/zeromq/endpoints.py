"""Addresses of nodes, their greeting, and the secret of their connections.

On one machine, nodes listen on Unix sockets in a folder that only their user can enter. On TCP,
both sides prove with CURVE (ZeroMQ's encryption) that they have the secret.
"""

import dataclasses
import hashlib
import struct
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from mukoe.errors import UserError

PROTOCOL_VERSION = 1
_SHORTEST_SECRET = 16
# A peer on another machine that sends nothing for this long is unavailable.
_HEARTBEAT_MS, _SILENCE_MS = 5_000, 30_000
_LARGEST_FRAME = 1 << 30


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Address of a node.

    address: address for ZeroMQ, `ipc://PATH` or `tcp://HOST:PORT`.
    run: digest of the run, see `digest`; nodes of another run are refused.
    secret: secret of the connection; required for TCP.
    """

    address: str
    run: bytes
    secret: bytes | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.address.startswith("tcp://") and self.secret is None:
            raise UserError(f"{self.address} needs a secret: give --secret_file=FILE")

    @property
    def bound(self) -> str:
        """Address that the node binds: all interfaces, unless the host is a loopback address."""
        scheme, _, place = self.address.partition("://")
        host, _, port = place.rpartition(":")
        if scheme == "ipc" or host in ("localhost", "127.0.0.1", "[::1]"):
            return self.address.replace("//localhost:", "//127.0.0.1:")
        return f"tcp://*:{port}"

    @property
    def greeting(self) -> bytes:
        """Protocol version and run, which precede every request."""
        return struct.pack("<H", PROTOCOL_VERSION) + self.run


def digest(description: str) -> bytes:
    """Returns the 16 bytes that identify a run, from a text of its specs and configuration."""
    return hashlib.sha256(description.encode()).digest()[:16]


def read_secret(path: Path) -> bytes:
    """Reads a secret file.

    Raises:
      UserError: the file cannot be read, or holds less than 16 bytes.
    """
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"--secret_file={path}: {error.strerror}") from error
    if len(secret) < _SHORTEST_SECRET:
        raise UserError(
            f"--secret_file={path} has {len(secret)} bytes, at least {_SHORTEST_SECRET} are "
            "needed: write one with openssl rand -hex 32"
        )
    return secret


def refusal(greeting: bytes, own: bytes) -> str | None:
    """Returns the reason to refuse the sender of a greeting; None to accept it."""
    if greeting == own:
        return None
    (version,) = struct.unpack("<H", greeting[:2].ljust(2, b"\0"))
    if version != PROTOCOL_VERSION:
        return (
            f"this node has protocol version {PROTOCOL_VERSION} and its peer {version}: install "
            "the same version of mukoe on all machines"
        )
    return (
        "the peer belongs to another run, or has another configuration: give the same --config "
        "and flags to all nodes"
    )


def configure(socket: zmq.Socket, secure_as: str, secret: bytes | None) -> None:
    """Sets limits, heartbeats and encryption of a socket before it binds or connects.

    Args:
      socket: socket of a server or a client.
      secure_as: 'server' or 'client'.
      secret: secret of the connection; None for a Unix socket.
    """
    socket.linger = 0
    socket.ipv6 = secret is not None
    socket.maxmsgsize = _LARGEST_FRAME
    socket.heartbeat_ivl, socket.heartbeat_timeout = _HEARTBEAT_MS, _SILENCE_MS
    if secret is None:
        return
    public, private = _keys(secret, secure_as)
    socket.curve_secretkey, socket.curve_publickey = private, public
    if secure_as == "server":
        socket.curve_server = True
    else:
        socket.curve_serverkey = _keys(secret, "server")[0]


def start_authenticator(context: zmq.Context, secret: bytes) -> ThreadAuthenticator:
    """Has a context's servers accept clients with the secret only; `stop` ends it."""
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve_callback("*", _Accepts(_keys(secret, "client")[0]))
    return authenticator


class _Accepts:
    """Decision about the public key of a client, in the form of `zmq.auth`."""

    def __init__(self, public: bytes):
        self._public = public

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self._public


def _keys(secret: bytes, role: str) -> tuple[bytes, bytes]:
    """Returns the public and the private key of a role."""
    private = z85.encode(hashlib.sha256(b"mukoe " + role.encode() + b"\0" + secret).digest())
    return zmq.curve_public(private), private
