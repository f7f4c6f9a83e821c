"""Observations of every kind as float32 inputs of torsos.

An observation is one array, or a nest of arrays, its parts. Each array has a spec:

`ChoiceImage`        `[H, W, C]` becomes the one-hot vectors of its channels, `[H, W, ΣK]`.
`TokenArray`         `[L]` becomes a sequence of one-hot vectors, `[L, 1 + K]`.
`SequenceArray`      `[L, 1 + D]` stays as it is.
other arrays         uint8 is scaled to [0, 1], everything else is taken by value.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.attention_torsos import PatchTransformerTorso
from mukoe.networks.history import scale_pixels
from mukoe.networks.torso import IMAGE, SEQUENCE, VECTOR
from mukoe.networks.torsos import TORSOS, FlatTorso, GridTorso, check_input, small_image_torso
from mukoe.types import Array, ChoiceImage, Nest, SequenceArray, TokenArray


def encode_input(array: Array, spec: specs.Array) -> jax.Array:
    """Returns the input `[B, ...]` float32 of a torso.

    Args:
      array: `[B, ...]` part of a network input.
      spec: spec of the part.
    """
    if isinstance(spec, ChoiceImage):
        channels = [
            jax.nn.one_hot(array[..., channel], count) for channel, count in enumerate(spec.choices)
        ]
        return jnp.concatenate(channels, axis=-1)
    if isinstance(spec, TokenArray):
        one_hot = jax.nn.one_hot(array, spec.num_values)
        return one_hot.at[..., 0].set(jnp.asarray(array) > 0)
    return scale_pixels(array)


def encoded_spec(spec: specs.Array) -> specs.Array:
    """Returns the spec of `encode_input` without the batch axis; dtypes are not changed."""
    if isinstance(spec, ChoiceImage):
        return specs.Array((*spec.shape[:2], sum(spec.choices)), spec.dtype, spec.name)
    if isinstance(spec, TokenArray):
        return specs.Array((*spec.shape, spec.num_values), spec.dtype, spec.name)
    return spec


def named_parts(nest: Nest) -> dict[str, Array]:
    """Returns the arrays of a nest by name, such as `robot/position`, in JAX's order."""
    return {
        "/".join(str(_key(entry)) for entry in path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(nest)[0]
    }


def part_torso(torso: str, spec: specs.Array) -> str:
    """Returns the name of the torso of a part that the configuration does not name.

    Args:
      torso: name of the configured torso, which is used for the parts that it takes. Images are
        not flattened: they get a torso for images.
      spec: spec of the part.
    """
    encoded = encoded_spec(spec)
    rank = len(encoded.shape)
    configured = TORSOS[torso].input_rank
    if isinstance(spec, SequenceArray | TokenArray):
        return torso if configured == SEQUENCE else "sequence"
    if rank == IMAGE:
        if configured == IMAGE and min(encoded.shape[:2]) >= TORSOS[torso].least_size:
            return torso
        return "grid" if isinstance(spec, ChoiceImage) else small_image_torso(encoded.shape)
    return torso if configured in (VECTOR, None) else "mlp"


def torso_names(torso: str, torsos: Mapping[str, str], spec: Nest) -> dict[str, str]:
    """Returns the name of the torso of each part by the name of the part, see `check_inputs`."""
    return {
        name: torsos.get(name) or part_torso(torso, part)
        for name, part in named_parts(spec).items()
    }


def has_convolutions(torso: str, torsos: Mapping[str, str], spec: Nest) -> bool:
    """Returns whether a torso of a network input has convolutions, see `check_inputs`."""
    is_array = isinstance(spec, specs.Array)
    names = [torso] if is_array else torso_names(torso, torsos, spec).values()
    images = {TORSOS[name] for name in names if TORSOS[name].input_rank == IMAGE}
    return bool(images - {FlatTorso, GridTorso, PatchTransformerTorso})


def check_inputs(torso: str, torsos: Mapping[str, str], spec: Nest) -> None:
    """Checks that the torsos of a configuration take the parts of a network input.

    Args:
      torso: name of the configured torso.
      torsos: names of the torsos of parts, by the names of the parts.
      spec: spec of one network input, without the batch axis.

    Raises:
      UserError: a torso does not take its part, or there is no part of a name.
    """
    parts = named_parts(spec)
    names = () if isinstance(spec, specs.Array) else tuple(parts)
    for name in torsos:
        if name not in names:
            known = f"its parts are {', '.join(names)}" if names else "it is one array"
            raise UserError(f"parts.torsos names {name!r}, no part of the observation; {known}")
    if not names:
        return check_input(torso, encoded_spec(spec))
    chosen = torso_names(torso, torsos, spec)
    for name, part in parts.items():
        if len(part.shape) not in (0, VECTOR, IMAGE) and not isinstance(part, SequenceArray):
            raise UserError(
                f"observation part {name!r} has shape {part.shape}; supported are vectors, images "
                "[H, W, C] and sequences"
            )
        try:
            check_input(chosen[name], encoded_spec(part))
        except UserError as error:
            raise UserError(f"observation part {name!r}: {error}") from error
    return None


def _key(entry: object) -> object:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return entry
