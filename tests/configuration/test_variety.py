"""A source of variety in the evaluations of every shipped config."""

import pytest

from mukoe.configuration.cli import load_config_file
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig, GymnasiumPixelsConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.repeat_first import RepeatFirstConfig
from mukoe.environments.tasks import TasksConfig
from tests.configuration.test_every_field import CONFIGS

RANDOM_STARTS = {"BipedalWalker-v3", "CartPole-v1", "LunarLander-v3", "Pendulum-v1"}
"""Gymnasium environments that draw the initial state, or the terrain, of an episode."""

PATHS = [path for path in CONFIGS.rglob("*.py") if not path.name.startswith(("cluster_", "sweep_"))]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_evaluations_have_a_source_of_variety(path):
    config = load_config_file(str(path))
    samples = getattr(config.agent, "evaluation", "mode") == "sample"
    match config.environment:
        case AtariConfig() as atari:
            assert samples or atari.sticky_actions > 0 or atari.noop_max > 1
        case GymnasiumConfig(env=name) | GymnasiumPixelsConfig(env=name):
            assert samples or name in RANDOM_STARTS
        case PgxConfig():
            # Games of chance, sticky actions (MinAtar), and opponents that draw their moves.
            pass
        case TasksConfig():
            assert samples
        case DmControlConfig():
            # Each task draws its initial state.
            pass
        case RepeatFirstConfig():
            # Each episode draws its symbols.
            pass
        case other:
            raise AssertionError(f"a source of variety of {other} is not known to this test")
