"""Config file that defines its own classes."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Run:
    max_actor_steps: int = 1000
    num_actors: int = 2


@dataclasses.dataclass(frozen=True)
class Config:
    run: Any = Run()
    game: str = "MsPacman"
    learning_rate: float = 0.1
    options: dict[str, int] = dataclasses.field(default_factory=dict)


def get_config():
    return Config()
