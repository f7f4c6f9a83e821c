"""Settings of an X-ray."""

import dataclasses
from typing import Annotated

from msgspec import Meta

from mukoe.configuration.bounds import PositiveFloat, PositiveInt, Seed
from mukoe.configuration.fields import Validated


@dataclasses.dataclass(frozen=True)
class XrayConfig(Validated):
    """Settings of an X-ray."""

    # Episodes per measured return, all with the same seeds.
    episodes: Annotated[int, Meta(ge=2, le=4096)] = 16
    # Largest number of simulations; None for twice that of the run.
    max_simulations: PositiveInt | None = None
    # Agent steps after which an episode is cut off, and its return so far counts; None for
    # `run.evaluation_max_steps` of the run.
    max_steps: PositiveInt | None = None
    # Seconds after which no further measurement starts.
    seconds: PositiveFloat = 100.0
    # Seed of environments, opponents and bootstrap.
    seed: Seed = 0
    # Largest number of checkpoints that are compared, evenly spaced.
    checkpoints: PositiveInt = 5
