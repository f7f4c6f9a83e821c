"""How inference servers batch, and how long actors wait for them."""

import dataclasses
from typing import Annotated

from msgspec import Meta

from mukoe.configuration.bounds import LONGEST_WAIT, NonNegativeInt, PositiveInt, Seconds
from mukoe.configuration.fields import Validated


@dataclasses.dataclass(frozen=True)
class InferenceConfig(Validated):
    """How requests become batches, and how long anybody waits."""

    # Environments in a batch at most.
    max_batch_size: PositiveInt = 64
    # A batch that is not full leaves when its oldest request has waited this long.
    deadline_ms: Annotated[float, Meta(ge=0, le=1e3 * LONGEST_WAIT)] = 5.0
    # Devices of the server's process that serve, side by side; 0 for all.
    devices: NonNegativeInt = 0
    # An answer that takes longer than this is an error, for the server and for the client;
    # a session that has asked nothing for as long makes room where it is needed.
    timeout_seconds: Seconds = 60.0
    # An actor that no server has answered for this long gives up; one that compiles does answer.
    give_up_seconds: Seconds = 120.0
