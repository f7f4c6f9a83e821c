"""Configuration of inference servers: batch sizes, deadline and timeouts."""

import dataclasses
from typing import Annotated

from msgspec import Meta

from mukoe.configuration.bounds import LONGEST_WAIT, NonNegativeInt, PositiveInt, Seconds
from mukoe.configuration.fields import Validated


@dataclasses.dataclass(frozen=True)
class InferenceConfig(Validated):
    """Batch sizes, deadline and timeouts of inference servers."""

    # Largest number of environments in a batch.
    max_batch_size: PositiveInt = 64
    # Longest wait of a request for a full batch, in milliseconds.
    deadline_ms: Annotated[float, Meta(ge=0, le=1e3 * LONGEST_WAIT)] = 5.0
    # Number of devices that serve in parallel; 0 for all devices of the process.
    devices: NonNegativeInt = 0
    # Timeout of a request on server and client. A session without requests for as long is closed if
    # its slots are needed.
    timeout_seconds: Seconds = 60.0
    # Seconds without an answer of any server after which an actor fails; compiling servers answer.
    give_up_seconds: Seconds = 120.0
