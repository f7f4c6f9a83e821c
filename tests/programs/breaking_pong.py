"""The tiny Pong of a program whose environment fails at its first step."""

import dataclasses
from pathlib import Path

from mukoe.configuration import load_config_file
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.environment import AtariEnvironment
from mukoe.environments.sync_vector import vectorize

CONFIG = Path(__file__).parents[2] / "configs" / "atari.py"


class Breaks(AtariEnvironment):
    def step(self, action):
        raise RuntimeError("the joystick came off")


@dataclasses.dataclass(frozen=True)
class BreakingConfig(AtariConfig):
    def make_factory(self):
        return vectorize(lambda seed, evaluation: Breaks(AtariConfig("Pong"), seed))


def get_config():
    return dataclasses.replace(load_config_file(str(CONFIG)), environment=BreakingConfig("Pong"))
