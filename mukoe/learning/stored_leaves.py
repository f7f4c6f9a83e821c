"""Leaves of a tree as a checkpoint stores them: in order, described by path, type and checksum."""

import dataclasses
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mukoe.errors import UserError
from mukoe.types import Nest

_PYTHON = {"bool": bool, "int": int, "float": float}


@dataclasses.dataclass(frozen=True)
class StoredLeaf:
    """Description of a stored leaf.

    path: path in the tree, such as `.params['linear']['w']`.
    kind: `array`, `key` (a typed PRNG key), or the Python type `bool`, `int` or `float`.
    dtype: type of the stored array.
    shape: shape of the stored array.
    checksum: CRC-32 of its bytes.
    implementation: name of the implementation of a typed PRNG key.
    """

    path: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    checksum: int
    implementation: str = ""


def is_stored(shape: tuple[int, ...]) -> bool:
    """Returns False for arrays without elements, which are described and not stored."""
    return 0 not in shape


def checksum(array: np.ndarray) -> int:
    """Returns the CRC-32 of the bytes of an array."""
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def to_host(state: Nest) -> tuple[list[StoredLeaf], dict[str, np.ndarray]]:
    """Copies the leaves, and returns their descriptions and, by number, their contents."""
    paths, _ = jax.tree_util.tree_flatten_with_path(state)
    raw = [
        (path, leaf, jax.random.key_data(leaf) if _is_key(leaf) else leaf) for path, leaf in paths
    ]
    for _, _, data in raw:
        if isinstance(data, jax.Array):
            data.copy_to_host_async()
    leaves, arrays = [], {}
    for index, (path, leaf, data) in enumerate(raw):
        # A copy: on the CPU a view would share the buffer, which may be donated next.
        array = np.array(data, copy=True)
        if array.dtype.kind in "OUS":
            raise TypeError(f"{jax.tree_util.keystr(path)} is a {type(leaf).__name__}")
        leaves.append(describe(jax.tree_util.keystr(path), leaf, array))
        if is_stored(array.shape):
            arrays[str(index)] = array
    return leaves, arrays


def describe(path: str, leaf: Any, array: np.ndarray) -> StoredLeaf:
    """Describes a leaf; `array` holds its contents on the host."""
    kind, implementation = "array", ""
    if _is_key(leaf):
        kind, implementation = "key", str(jax.random.key_impl(leaf))
    elif type(leaf).__name__ in _PYTHON and not isinstance(leaf, np.generic):
        kind = type(leaf).__name__
    return StoredLeaf(path, kind, str(array.dtype), array.shape, checksum(array), implementation)


def rebuild(leaves: list[StoredLeaf], arrays: list[np.ndarray], like: Nest, partial: bool) -> Nest:
    """Rebuilds a tree with the structure of `like` from stored leaves.

    Raises:
      UserError: if the paths, shapes or types differ; extra leaves are skipped if `partial`.
    """
    wanted, structure = jax.tree_util.tree_flatten_with_path(like)
    stored = {leaf.path: (leaf, array) for leaf, array in zip(leaves, arrays, strict=True)}
    names = [jax.tree_util.keystr(path) for path, _ in wanted]
    missing = [name for name in names if name not in stored]
    if missing:
        raise UserError(f"the checkpoint has no {missing[0]}; it was written by another agent")
    extra = [name for name in stored if name not in set(names)]
    if extra and not partial:
        raise UserError(f"the checkpoint has {extra[0]}, which this agent does not have")
    pairs = zip(names, wanted, strict=True)
    return structure.unflatten([_place(*stored[name], target) for name, (_, target) in pairs])


def _place(leaf: StoredLeaf, array: np.ndarray, target: Any) -> Any:
    """Converts a stored leaf to the kind of `target`: a JAX array, a NumPy array or a number."""
    if leaf.kind in _PYTHON and not hasattr(target, "dtype"):
        return _PYTHON[leaf.kind](array.item())
    _check_fit(leaf, target)
    if leaf.kind == "key":
        value = jax.random.wrap_key_data(jnp.asarray(array), impl=leaf.implementation)
    elif isinstance(target, np.generic):
        return array[()]
    elif isinstance(target, np.ndarray):
        return array
    else:
        value = array
    sharding = getattr(target, "sharding", None)
    return jax.device_put(value, sharding)


def _check_fit(leaf: StoredLeaf, target: Any) -> None:
    if _is_key(target) != (leaf.kind == "key") or not hasattr(target, "shape"):
        raise UserError(
            f"the checkpoint's {leaf.path} is of kind {leaf.kind}, expected {type(target).__name__}"
        )
    shape, dtype = target.shape, str(target.dtype)
    if leaf.kind == "key":
        fits = leaf.shape[: len(shape)] == shape and len(leaf.shape) == len(shape) + 1
    else:
        fits = (leaf.shape, leaf.dtype) == (shape, dtype)
    if not fits:
        raise UserError(
            f"the checkpoint's {leaf.path} is {leaf.dtype}{list(leaf.shape)}, "
            f"expected {dtype}{list(shape)}"
        )
