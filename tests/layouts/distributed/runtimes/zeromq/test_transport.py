"""Calls between processes: values, errors, lost connections, secrets, other runs."""

import contextlib
import socket
import threading
import time
from concurrent import futures

import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

pytest.importorskip("zmq")

import zmq  # noqa: E402

from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.distributed.runtimes.zeromq import endpoints  # noqa: E402
from mukoe.layouts.distributed.runtimes.zeromq.client import (  # noqa: E402
    Client,
    PeerUnavailableError,
    RemoteError,
)
from mukoe.layouts.distributed.runtimes.zeromq.codec import (  # noqa: E402
    MalformedMessageError,
    _Kind,
    decode,
    encode,
)
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint, digest  # noqa: E402
from mukoe.layouts.distributed.runtimes.zeromq.server import Server  # noqa: E402
from mukoe.types import MaskedObservation, PolicyParams  # noqa: E402

SECRET = b"0123456789abcdef"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(params=["ipc", "tcp"])
def endpoint(request, tmp_path):
    if request.param == "ipc":
        return Endpoint(f"ipc://{tmp_path}/node", digest("run"))
    return Endpoint(f"tcp://127.0.0.1:{free_port()}", digest("run"), SECRET)


@pytest.fixture
def open_all():
    """Function that closes a server or client at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda opened: stack.enter_context(contextlib.closing(opened))


def serve(endpoint, **waiting):
    def refuse():
        raise UserError("that is refused")

    return Server(endpoint, {"echo": lambda *a, **k: (a, k), "refuse": refuse}, waiting)


VALUES = [
    (None, True, 3, -2.5, "text", b"bytes", [], (), {}),
    {
        "layer": {"w": np.arange(6.0).reshape(2, 3), "empty": np.zeros((0, 4), np.int8)},
        7: [1, (2,)],
    },
    PolicyParams({"w": np.ones((2, 2), jnp.bfloat16)}, np.int32(3)),
    [MaskedObservation(np.zeros((2, 3), np.uint8), np.ones(2, bool)), np.float32(1.5)],
    np.arange(6, dtype=">i4").reshape(2, 3).T,
]


def assert_equal(actual, expected):
    if isinstance(expected, np.ndarray | np.generic):
        assert actual.shape == expected.shape
        assert actual.dtype.isnative and actual.dtype.name == expected.dtype.name
        np.testing.assert_array_equal(np.asarray(actual, float), np.asarray(expected, float))
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for name, value in expected.items():
            assert_equal(actual[name], value)
    elif isinstance(expected, list | tuple):
        assert type(actual) is type(expected) and len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_equal(one, other)
    else:
        assert actual == expected and type(actual) is type(expected)


@pytest.mark.parametrize("value", VALUES)
def test_values_arrive_unchanged(value):
    assert_equal(decode([bytes(frame) for frame in encode(value)]), value)


@pytest.mark.parametrize(
    "value", [object(), {1.5: 2}, np.array([None]), np.array(["a"]), {"s": set()}]
)
def test_other_values_are_not_sent(value):
    with pytest.raises(TypeError, match="cannot be sent"):
        encode(value)


def test_malformed_bytes_have_one_error():
    """Every message with a changed, lost or added byte is decoded or refused."""
    frames = [bytes(frame) for frame in encode(VALUES[1:4])]
    random = np.random.default_rng(0)
    for _ in range(2000):
        head = bytearray(frames[0])
        place = random.integers(len(head))
        head[place : place + random.integers(2)] = random.bytes(random.integers(3))
        with contextlib.suppress(MalformedMessageError):
            decode([bytes(head), *frames[1:]])
    for broken in ([], frames[:-1], [*frames, b""], [*frames[:-1], frames[-1] + b"\0"]):
        with pytest.raises(MalformedMessageError):
            decode(broken)


@pytest.mark.parametrize("name", [None, 3, {"a": 1}, []])
def test_the_name_of_a_named_tuple_is_text(name):
    head = msgspec.msgpack.encode([_Kind.NAMED_TUPLE, name, 1, 2])
    with pytest.raises(MalformedMessageError, match="named tuple without a name"):
        decode([head])


@pytest.mark.parametrize(
    "name", ["subprocess:Popen", "os:system", "mukoe.types:SearchStatistics", "x"]
)
def test_only_known_named_tuples_are_made(name):
    head = encode(PolicyParams(1, 2))[0].replace(
        b"\xb8mukoe.types:PolicyParams", bytes([0xA0 + len(name)]) + name.encode()
    )
    with pytest.raises(MalformedMessageError):
        decode([head])


def test_calls_and_errors(endpoint, open_all):
    open_all(serve(endpoint, wait=lambda seconds: time.sleep(seconds) or seconds))
    client = open_all(Client(endpoint, 10.0))
    assert client.echo(1, [2], three=(3,)) == ((1, [2]), {"three": (3,)})
    begun = time.monotonic()
    waits = [client.futures.wait(0.4) for _ in range(8)]
    client.echo()
    assert time.monotonic() - begun < 0.4
    assert [wait.result() for wait in waits] == [0.4] * 8 and time.monotonic() - begun < 2
    with pytest.raises(UserError, match="that is refused"):
        client.refuse()
    with pytest.raises(RemoteError, match="no method 'missing'"):
        client.missing()
    with pytest.raises(RemoteError, match="TypeError"):
        client.wait()
    assert client.echo() == ((), {})


def test_lost_and_absent_servers(endpoint, open_all):
    server = serve(endpoint, wait=time.sleep)
    patient, hasty = open_all(Client(endpoint, 10.0)), open_all(Client(endpoint, 10.0, False))
    assert patient.echo() == hasty.echo() == ((), {})
    waits = [client.futures.wait(2.0) for client in (patient, hasty)]
    time.sleep(0.1)
    server.close()
    begun = time.monotonic()
    for wait in waits:
        with pytest.raises(PeerUnavailableError):
            wait.result()
    with pytest.raises(PeerUnavailableError):
        hasty.echo()
    later = patient.futures.echo(1)
    assert not futures.wait([later], 0.3).done
    open_all(serve(endpoint))
    assert later.result() == ((1,), {}) and time.monotonic() - begun < 5
    brief = open_all(Client(Endpoint("ipc:///nowhere/at/all", b"x" * 16), 0.3))
    with pytest.raises(TimeoutError):
        brief.echo()


def test_a_server_that_dies_during_the_handshake_is_waited_for(endpoint, open_all):
    scheme, _, place = endpoint.address.partition("://")
    with socket.socket(socket.AF_UNIX if scheme == "ipc" else socket.AF_INET) as dying:
        dying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        dying.bind(place if scheme == "ipc" else ("127.0.0.1", int(place.rpartition(":")[2])))
        dying.listen()
        client = open_all(Client(endpoint, 10.0))
        call = client.futures.echo(1)
        connection, _ = dying.accept()
        connection.recv(1)
        connection.close()
    time.sleep(0.3)
    assert not call.done()
    open_all(serve(endpoint))
    assert call.result() == ((1,), {})


def test_a_client_that_is_closed_fails_its_calls(endpoint, open_all):
    open_all(serve(endpoint, wait=time.sleep))
    client = Client(endpoint, 10.0)
    threading.Timer(0.3, client.close).start()
    with pytest.raises(PeerUnavailableError):
        client.wait(5.0)
    with pytest.raises(PeerUnavailableError):
        client.echo()


class OldEndpoint(Endpoint):
    """Endpoint of a node with protocol version 0."""

    @property
    def greeting(self):
        return b"\0\0" + self.run


def test_another_run_and_another_version_are_refused(endpoint, open_all):
    open_all(serve(endpoint))
    other = open_all(Client(Endpoint(endpoint.address, digest("other"), endpoint.secret), 10.0))
    with pytest.raises(UserError, match="belongs to another run"):
        other.echo()
    old = OldEndpoint(endpoint.address, endpoint.run, endpoint.secret)
    with pytest.raises(UserError, match="version of mukoe"):
        open_all(Client(old, 10.0)).echo()
    assert open_all(Client(endpoint, 10.0)).echo() == ((), {})


@pytest.mark.parametrize("secret", [None, b"f" * 16])
def test_without_the_secret_there_is_no_answer(secret, open_all):
    endpoint = Endpoint(f"tcp://127.0.0.1:{free_port()}", digest("run"), SECRET)
    calls = []
    open_all(Server(endpoint, {"call": lambda: calls.append(1)}, {}))
    if secret is not None:
        client = open_all(Client(Endpoint(endpoint.address, endpoint.run, secret), 10.0))
        with pytest.raises(UserError, match="refused the secret"):
            client.call()
    else:
        with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
            plain.linger = 0
            plain.connect(endpoint.address)
            plain.send_multipart([b"1" * 8, endpoint.greeting, *encode(["call", [], {}])])
            assert not plain.poll(300)
    assert not calls
    assert open_all(Client(endpoint, 10.0)).call() is None and calls


def test_tcp_needs_a_secret_and_a_secret_needs_length(tmp_path):
    with pytest.raises(UserError, match="--secret_file"):
        Endpoint("tcp://127.0.0.1:1", digest("run"))
    file = tmp_path / "secret"
    with pytest.raises(UserError, match="No such file"):
        endpoints.read_secret(file)
    file.write_text("short\n")
    with pytest.raises(UserError, match="at least 16"):
        endpoints.read_secret(file)
    file.write_bytes(SECRET + b"\n")
    assert endpoints.read_secret(file) == SECRET
