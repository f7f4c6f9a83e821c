"""The tiny Pong of a program whose environment fails after the check of its first steps."""

import dataclasses
from pathlib import Path

from mukoe.configuration import load_config_file
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.environment import AtariEnvironment
from mukoe.environments.sync_vector import vectorize

CONFIG = Path(__file__).parents[2] / "configs" / "atari.py"


class Breaks(AtariEnvironment):
    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 3:
            raise RuntimeError("the joystick came off")
        return super().step(action)


@dataclasses.dataclass(frozen=True)
class BreakingConfig(AtariConfig):
    def make_factory(self):
        return vectorize(lambda seed, evaluation: Breaks(AtariConfig("Pong"), seed))


def get_config():
    return dataclasses.replace(load_config_file(str(CONFIG)), environment=BreakingConfig("Pong"))
