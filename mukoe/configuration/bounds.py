"""Bounds of configuration fields, declared in the annotation of the field.

The metadata is msgspec's: `capacity: Annotated[int, Meta(ge=1)] = 100`, with `ge`, `gt`, `le` and
`lt`. `Validated` checks it when a configuration is constructed, `apply_overrides` when a field is
set from the command line, and `--help` prints it.
"""

import copyreg
import functools
import threading
from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

LARGEST_COUNT = 2**31 - 1
"""Largest count on a device (int32), such as the number of updates."""

LARGEST_SEED = 2**32 - 1
"""Largest seed of a JAX key (uint32)."""

LONGEST_WAIT = threading.TIMEOUT_MAX
"""Longest timeout of a lock, in seconds."""

LONGEST_SIDE = 2**15 - 1
"""Largest height and width of an image, in pixels (OpenCV stores coordinates as int16)."""

MOST_COMPILED = 1_000
"""Upper bound for counts that are unrolled at trace time (layers, unroll steps, epochs).

Compile time grows linearly and reaches minutes at this size.
"""

WIDEST_LAYER = 2**16
"""Upper bound for layers whose memory depends on other fields."""

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]
UnitInterval = Annotated[float, Meta(ge=0, le=1)]
UnrolledCount = Annotated[int, Meta(ge=1, le=MOST_COMPILED)]
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
Seconds = Annotated[float, Meta(gt=0, le=LONGEST_WAIT)]


def _reduce(meta: Meta) -> tuple[Callable[[], Meta], tuple[()]]:
    return functools.partial(Meta, **dict(meta.__rich_repr__())), ()


# A config class of a user's file is pickled for the nodes of a program with its annotations, and
# msgspec's have no support for that.
copyreg.pickle(Meta, _reduce)
