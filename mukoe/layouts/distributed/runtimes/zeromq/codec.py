"""Binary form of values on the wire: a MessagePack head, and one frame per array.

    value    (1, {"a": float32 [2, 3]})
    head     MessagePack of [TUPLE, 1, [DICT, "a", [ARRAY, "float32", [2, 3]]]]
    frame 1  24 bytes, row-major, in the byte order of all supported machines

Values are None, booleans, numbers, strings, bytes, arrays, and lists, tuples, named tuples and
dicts of values. Decoding calls no code that the sender names: a named tuple must be a class that
the receiver has imported, and is filled without its constructor.
"""

import enum
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import msgspec
import numpy as np

Frame = bytes | memoryview


class MalformedMessageError(ValueError):
    """Bytes that are no encoded value."""


class _Kind(enum.IntEnum):
    ARRAY = 0
    LIST = 1
    TUPLE = 2
    NAMED_TUPLE = 3
    DICT = 4


_PLAIN = (bool, int, float, str, bytes)
# Kinds of NumPy's types: booleans and numbers; V are those of ml_dtypes, such as bfloat16.
_KINDS = "biufcV"


def encode(value: Any) -> list[Frame]:
    """Returns the frames of a value; those of arrays share their memory.

    Raises:
      TypeError: the value contains an object of another type.
    """
    arrays: list[np.ndarray] = []
    head = msgspec.msgpack.encode(_describe(value, arrays))
    return [head, *(array.reshape(-1).view(np.uint8).data for array in arrays)]


def decode(frames: Sequence[Frame]) -> Any:
    """Returns the value of frames; its arrays share their memory and are read-only.

    Raises:
      MalformedMessageError: the frames are not those of a value.
    """
    try:
        description = msgspec.msgpack.decode(frames[0])
        buffers = iter(frames[1:])
        value = _restore(description, buffers)
        if next(buffers, None) is not None:
            raise MalformedMessageError("a message has more frames than arrays")
    except MalformedMessageError:
        raise
    except (
        msgspec.MsgspecError,
        ArithmeticError,
        IndexError,
        LookupError,
        RecursionError,
        StopIteration,
        TypeError,
        ValueError,
    ) as error:
        raise MalformedMessageError(f"a message is malformed: {error}") from error
    return value


def _describe(value: Any, arrays: list[np.ndarray]) -> Any:
    """Returns the head of a value; appends its arrays."""
    kind = type(value)
    if value is None or kind in _PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        if array.dtype.kind not in _KINDS or array.dtype.names:
            raise TypeError(f"arrays of {array.dtype} cannot be sent")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        arrays.append(np.ascontiguousarray(array))
        return [_Kind.ARRAY, array.dtype.name, array.shape]
    if kind is list:
        return [_Kind.LIST, *(_describe(part, arrays) for part in value)]
    if kind is tuple:
        return [_Kind.TUPLE, *(_describe(part, arrays) for part in value)]
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        name = f"{kind.__module__}:{kind.__qualname__}"
        return [_Kind.NAMED_TUPLE, name, *(_describe(part, arrays) for part in value)]
    if isinstance(value, Mapping):
        head: list[Any] = [_Kind.DICT]
        for key, part in value.items():
            if not isinstance(key, str | int):
                raise TypeError(f"keys of {type(key).__name__} cannot be sent")
            head += [key, _describe(part, arrays)]
        return head
    raise TypeError(f"values of {kind.__module__}.{kind.__qualname__} cannot be sent")


def _restore(head: Any, buffers: Iterator[Frame]) -> Any:
    if not isinstance(head, list):
        return head
    kind, *parts = head
    if kind == _Kind.ARRAY:
        return _array(parts[0], parts[1], next(buffers))
    if kind == _Kind.LIST:
        return [_restore(part, buffers) for part in parts]
    if kind == _Kind.TUPLE:
        return tuple([_restore(part, buffers) for part in parts])
    if kind == _Kind.NAMED_TUPLE:
        return _named_tuple(parts[0], [_restore(part, buffers) for part in parts[1:]])
    if kind == _Kind.DICT:
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return {key: _restore(part, buffers) for key, part in pairs}
    raise MalformedMessageError(f"a message has a value of kind {kind!r}")


def _array(name: str, shape: list[int], buffer: Frame) -> np.ndarray:
    dtype = np.dtype(name)
    if dtype.kind not in _KINDS or dtype.names or any(size < 0 for size in shape):
        raise MalformedMessageError(f"a message has an array of {name} {shape}")
    if math.prod(shape) * dtype.itemsize != len(buffer):
        raise MalformedMessageError(f"{len(buffer)} bytes are no array {shape} of {name}")
    array = np.frombuffer(buffer, np.uint8).view(dtype).reshape(shape)
    array.flags.writeable = False
    return array


def _named_tuple(name: Any, values: list[Any]) -> Any:
    if not isinstance(name, str):
        raise MalformedMessageError(f"a message has a named tuple without a name: {name!r:.60}")
    module, _, path = name.partition(":")
    kind: Any = sys.modules.get(module)
    for part in path.split("."):
        kind = getattr(kind, part, None)
    fields = getattr(kind, "_fields", None)
    if not isinstance(kind, type) or not issubclass(kind, tuple) or fields is None:
        raise MalformedMessageError(f"a message has a {name}, which is no known named tuple")
    if len(values) != len(fields):
        raise MalformedMessageError(f"a {name} has {len(values)} fields, expected {len(fields)}")
    return tuple.__new__(kind, values)
