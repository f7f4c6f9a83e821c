"""Settings of the tasks of the DeepMind Control Suite."""

import dataclasses
from typing import Annotated

from msgspec import Meta

from mukoe.configuration.bounds import NonNegativeInt, PositiveInt
from mukoe.configuration.fields import Validated
from mukoe.environments.dm_control.names import check_task, require_dm_control
from mukoe.environments.vector import EnvironmentFactory


@dataclasses.dataclass(frozen=True)
class DmControlConfig(Validated):
    """A task of the DeepMind Control Suite (Tassa et al. 2018, arXiv:1801.00690)."""

    # Name of the task, domain-task, such as cartpole-swingup.
    task: str
    # Control steps per action, whose rewards are summed; an episode has 1,000 control steps.
    action_repeat: PositiveInt = 1
    # Whether the observation is a picture, [height, width, 3] uint8, instead of the features.
    pixels: bool = False
    # Rows of a picture; limit of the suite's models.
    height: Annotated[int, Meta(ge=1, le=480)] = 64
    # Columns of a picture; limit of the suite's models.
    width: Annotated[int, Meta(ge=1, le=640)] = 64
    # Index of the camera of pictures and videos.
    camera: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_task(self.task)

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`; see `make_dm_control`.

        Raises:
            UserError: dm_control is not installed, the camera does not exist, or this machine
                cannot render the pixels.
        """
        require_dm_control(self.task)
        from mukoe.environments.dm_control.factory import make_dm_control

        return make_dm_control(self)
